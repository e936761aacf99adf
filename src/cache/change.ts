// Several changes as one: what a transaction invalidated, each thing named once.
import { scopeField } from '../core/key.ts'
import type { Change, Place } from './kernel.ts'

/** As few changes as can say it: one, and one more for each further pattern, because a change holds one. */
export function mergeChanges(changes: readonly Change[]): Change[] {
  if (changes.length === 0) return []
  const [pattern, ...patterns] = distinct(
    changes.flatMap((change) => change.pattern ?? []),
    ({ glob, tenant }) => JSON.stringify([glob, tenant]),
  )
  const merged: Change = {
    entries: distinct(
      changes.flatMap(({ entries = [] }) => entries),
      placeText,
    ),
    stamps: distinct(
      changes.flatMap(({ stamps = [] }) => stamps),
      String,
    ),
    fences: distinct(
      changes.flatMap(({ fences = [] }) => fences),
      String,
    ),
    scopes: distinct(
      changes.flatMap(({ scopes = [] }) => scopes),
      scopeField,
    ),
    ...(pattern ? { pattern } : {}),
  }
  return [merged, ...patterns.map((pattern) => ({ pattern }))]
}

function placeText({ namespace, subject, version, tenant, rest }: Place): string {
  return JSON.stringify([namespace, subject, version, tenant, ...rest])
}

function distinct<T>(items: readonly T[], name: (item: T) => string): T[] {
  return [...new Map(items.map((item) => [name(item), item])).values()]
}
