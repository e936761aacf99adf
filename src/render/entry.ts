// The report of `get` for people, and what `why` says of an entry in the same words.
import type { ChalkInstance } from 'chalk'
import { printable, safeJson } from '../core/printable.ts'
import { shellWord } from '../core/shell-word.ts'
import { formatBytes, formatDuration } from '../core/units.ts'
import type { AboutEntry, GetReport } from '../ops/get.ts'

/** The value for stdout: JSON, with a line break at its end. Text that is no JSON is a JSON string. */
export function renderValue({ value }: GetReport): string {
  return `${safeJson(value, 2)}\n`
}

/** What is known about it, for stderr. */
export function renderAbout({ key, about }: GetReport, paint: ChalkInstance): string {
  if (about === null) return `${key}: there is no such key\n  next: cachectl why ${shellWord(key)}\n`
  const { type, format, ttlMs, bytes, entry, notes } = about
  const facts = [
    type === format ? type : `${printable(type)}, ${format}`,
    ttlText(ttlMs),
    ...(bytes === null ? [] : [formatBytes(bytes)]),
  ]
  return `${[`${paint.bold(key)}  ${facts.join(' · ')}`, ...(entry === null ? [] : [envelope(entry)]), ...notes.map((note) => paint.yellow(`note: ${note}`))].join('\n')}\n`
}

export function ttlText(ttlMs: number | null): string {
  return ttlMs === null ? 'no TTL' : `TTL ${formatDuration(ttlMs)}`
}

/** Codec, size, age, writer, freshness, cost, version, tags. */
export function envelope(entry: AboutEntry): string {
  const { ageMs, writer, deltaMs, sourceVersion, tags, dependsOn } = entry
  const parts = [...lifeParts(entry)]
  parts.splice(1, 0, `written ${formatDuration(ageMs)} ago by ${writer}`)
  if (deltaMs > 0) parts.push(`took ${formatDuration(deltaMs)} to load`)
  if (sourceVersion !== null) parts.push(`source version ${sourceVersion}`)
  if (tags.length > 0) parts.push(`tags ${tags.join(', ')}`)
  if (dependsOn.length > 0) parts.push(`shows ${dependsOn.join(', ')}`)
  return printable(parts.join(' · '))
}

/** `json, 2 KB`, `fresh for 5 m`, `grace 5 m` */
export function lifeParts({ codec, payloadBytes, freshForMs, graceMs }: AboutEntry): string[] {
  const fresh =
    freshForMs === null
      ? 'never stale'
      : freshForMs > 0
        ? `fresh for ${formatDuration(freshForMs)}`
        : `stale since ${formatDuration(-freshForMs)}`
  return [`${codec}, ${formatBytes(payloadBytes)}`, fresh, `grace ${formatDuration(graceMs)}`]
}
