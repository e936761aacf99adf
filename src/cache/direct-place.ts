// Where an entry is that a caller names by namespace and path: nothing of a model's, and nothing of the library's own.
import type { ResolvedConfig, ResolvedModel } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { idText } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import type { Id } from '../ports.ts'
import type { Kernel, Place } from './kernel.ts'
import { namespaceOf } from './policy.ts'

/** What an entry is of (`dashboard`), then what tells it from others of its kind (`orgId`). In a raw namespace: what its template asks for. */
export type Path = readonly [subject: string, ...rest: Id[]]

/** @throws CachectlError USAGE for a subject that is a model's or begins with `@`; KEY_INVALID */
export function placeOf(kernel: Kernel, namespace: string, path: Path, tenant: string | null): Place {
  const [subject, ...rest] = Array.isArray(path) ? path : []
  if (typeof subject !== 'string')
    throw new CachectlError('USAGE', 'the path of an entry is no list that begins with text', {
      hint: "write ['dashboard', orgId]",
    })
  if (subject.startsWith('@'))
    throw new CachectlError(
      'USAGE',
      `the subject ${printable(subject)} begins with @, as those of functions and routes do`,
    )
  const model = subjectsOf(kernel.config).get(subject)
  if (model)
    throw new CachectlError('USAGE', `${printable(subject)} is the subject of model ${model.name}`, {
      hint: `use cache.model('${model.name}'), or another name in the path`,
    })
  namespaceOf(kernel.config, namespace)
  return { namespace, subject: idText(subject), version: kernel.config.version, tenant, rest: rest.map(idText) }
}

/** Models by subject, of each config once. */
const SUBJECTS = new WeakMap<ResolvedConfig, ReadonlyMap<string, ResolvedModel>>()

function subjectsOf(config: ResolvedConfig): ReadonlyMap<string, ResolvedModel> {
  const known = SUBJECTS.get(config)
  if (known !== undefined) return known
  const subjects = new Map(Object.values(config.models).map((model) => [model.subject, model]))
  SUBJECTS.set(config, subjects)
  return subjects
}
