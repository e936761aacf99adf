// Versions of the code: which of them the config reads and writes, which processes have registered, which are older than its own.
import { CODE_VERSION_FIELD, LEAVING_VERSION_FIELD } from './control-key.ts'
import type { DeclaredCache } from './declared.ts'

/** A version that the fields of the generations hash name. */
export interface CodeVersion {
  /** `1`, or with a version of a model's own `1.2` */
  version: string
  /** null: of all subjects */
  subject: string | null
  /** `code:1.2:product` */
  field: string
  /** ISO 8601; when its first process came, as that one said; null while it is leaving */
  since: string | null
  /** ms since 1970: when its processes were asked whether any is left, and none has answered since; null: it is registered */
  leavingMs: number | null
}

/** @param fields of the generations hash */
export function codeVersionsIn(fields: ReadonlyMap<string, string>): CodeVersion[] {
  const found = new Map<string, CodeVersion>()
  for (const [field, value] of fields) {
    const leaving = field.startsWith(LEAVING_VERSION_FIELD)
    if (!leaving && !field.startsWith(CODE_VERSION_FIELD)) continue
    const name = field.slice(field.indexOf(':') + 1)
    const [version = '', subject] = name.split(':')
    const known = found.get(name)
    // One that came back is there, whatever was asked before.
    if (known !== undefined && leaving) continue
    found.set(name, {
      version,
      subject: subject === undefined ? null : decoded(subject),
      field: CODE_VERSION_FIELD + name,
      since: leaving ? null : value,
      leavingMs: leaving ? Number(value) || 0 : null,
    })
  }
  return [...found.values()]
}

/** The version under which this config reads and writes a subject. */
export function currentVersion(
  { version, models }: { version: string; models: DeclaredCache['models'] },
  subject: string,
): string {
  for (const model of Object.values(models)) if (model.subject === subject) return model.version
  return version
}

/** Whether a version went before another. That a model has a version of its own, or has none any more, is no order: the other one is current. */
export function isOlderVersion(version: string, current: string): boolean {
  const [[project = 0, model], [ownProject = 0, ownModel]] = [version, current].map((text) =>
    text.split('.').map(Number),
  ) as [number[], number[]]
  if (project !== ownProject) return project < ownProject
  return version !== current && (model === undefined || ownModel === undefined || model < ownModel)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Fields of the versions that this code reads and writes: `code:1`, and `code:1.2:product` of a model with a version of its own. */
export function codeVersionFields(config: {
  version: string
  models: Readonly<Record<string, { version: string; subject: string }>>
}): string[] {
  const own = Object.values(config.models)
    .filter((model) => model.version !== config.version)
    .map((model) => `${CODE_VERSION_FIELD}${model.version}:${encodeURIComponent(model.subject)}`)
  return [`${CODE_VERSION_FIELD}${config.version}`, ...own]
}
