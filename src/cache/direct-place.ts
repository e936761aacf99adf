// Where an entry is that a caller names by namespace and path: nothing of a model's, and nothing of the library's own.
import type { ResolvedConfig } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { idText } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import type { Id } from '../ports.ts'
import type { Place } from './kernel.ts'

/** What an entry is of (`dashboard`), then what tells it from others of its kind (`orgId`). In a raw namespace: what its template asks for. */
export type Path = readonly [subject: string, ...rest: Id[]]

/** @throws CachectlError USAGE for a subject that is a model's or begins with `@`; KEY_INVALID */
export type PlaceIn = (namespace: string, path: Path, tenant: string | null) => Place

export function createPlaces({ models, version }: ResolvedConfig): PlaceIn {
  const bySubject = new Map(Object.values(models).map((model) => [model.subject, model]))
  /** Calls come in runs of one subject, and to compare it is cheaper than to look at it again. */
  let last: string | null = null

  const checked = (subject: unknown): string => {
    if (typeof subject !== 'string')
      throw new CachectlError('USAGE', 'the path of an entry is no list that begins with text', {
        hint: "write ['dashboard', orgId]",
      })
    if (subject.startsWith('@'))
      throw new CachectlError(
        'USAGE',
        `the subject ${printable(subject)} begins with @, as those of functions and routes do`,
      )
    const model = bySubject.get(subject)
    if (model)
      throw new CachectlError('USAGE', `${printable(subject)} is the subject of model ${model.name}`, {
        hint: `use cache.model('${model.name}'), or another name in the path`,
      })
    return idText(subject)
  }

  return (namespace, path, tenant) => {
    const [subject, ...rest] = Array.isArray(path) ? (path as Path) : []
    if (subject === undefined || subject !== last) last = checked(subject)
    for (let at = 0; at < rest.length; at++) rest[at] = idText(rest[at] as Id)
    return { namespace, subject: last, version, tenant, rest: rest as string[] }
  }
}
