// Keys of other software, as a raw namespace declares them: a glob, or a template `{subject}:v{version}:{rest}`.
import { CachectlError } from './errors.ts'
import { isWellFormed } from './invisible.ts'
import { compileGlob } from './pattern.ts'
import { printable } from './printable.ts'

export interface RawKey {
  subject: string | null
  version: string | null
  tenant: string | null
  rest: string | null
}

export type RawPart = keyof RawKey

const PLACEHOLDER = /\{(subject|version|tenant|rest)\}/g
const NOTHING: RawKey = { subject: null, version: null, tenant: null, rest: null }

/** A reader of such keys: their parts, or null for a key of another form. */
export function compileRawKey(keyPattern: string): (key: Buffer) => RawKey | null {
  if (!/\{(subject|version|tenant|rest)\}/.test(keyPattern)) {
    const matches = compileGlob(keyPattern)
    return (key) => (matches(key) ? NOTHING : null)
  }
  let source = ''
  let from = 0
  for (const match of keyPattern.matchAll(PLACEHOLDER)) {
    source += `${literal(keyPattern.slice(from, match.index))}(?<${match[1]}>${match[1] === 'rest' ? '[^]+' : '[^:]+?'})`
    from = match.index + match[0].length
  }
  const form = new RegExp(`^${source}${literal(keyPattern.slice(from))}$`)
  return (key) => {
    const parts = form.exec(key.toString('utf8'))?.groups
    return parts === undefined ? null : { ...NOTHING, ...parts }
  }
}

/** The parts that such keys are made of; none for a glob. */
export function rawKeyParts(keyPattern: string): ReadonlySet<RawPart> {
  return new Set([...keyPattern.matchAll(PLACEHOLDER)].map((match) => match[1] as RawPart))
}

/**
 * The key of these parts, as the other software spells it: nothing is encoded. Of a glob, `rest` is the whole key.
 * @throws CachectlError KEY_INVALID where a part is missing, or where the key would be read as one of other parts
 */
export function spellRawKey(keyPattern: string, parts: RawKey): string {
  const named = rawKeyParts(keyPattern)
  let key = parts.rest ?? ''
  if (named.size > 0) {
    key = keyPattern.replace(PLACEHOLDER, (_, name: RawPart) => {
      const part = parts[name]
      if (part === null || part === '') throw invalid(`a key like ${keyPattern} needs a ${name}`)
      return part
    })
  }
  if (!isWellFormed(key)) throw invalid(`the key ${printable(key)} holds half a surrogate pair`)
  const read = compileRawKey(keyPattern)(Buffer.from(key))
  if (read === null) throw invalid(`the key ${printable(key)} is not like ${keyPattern}`)
  const other = [...named].find((name) => read[name] !== parts[name])
  if (other !== undefined)
    throw invalid(`${printable(parts[other] ?? '')} cannot be the ${other} of a key like ${keyPattern}`)
  return key
}

/** Where the version of such a key is written: `cache_version:{subject}`, or one key for all. @throws CachectlError KEY_INVALID */
export function spellVersionKey(versionKey: string, parts: RawKey): string {
  return rawKeyParts(versionKey).size === 0 ? versionKey : spellRawKey(versionKey, { ...parts, version: null })
}

function invalid(message: string): CachectlError {
  return new CachectlError('KEY_INVALID', message, { hint: 'see the `key` of the raw namespace in the config' })
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')
}
