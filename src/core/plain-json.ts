// JSON as other software writes and reads it: no tags. What JSON would bring back as something else is refused.
import { CachectlError } from './errors.ts'

/**
 * The value as JSON. Fields that are undefined are left out, as JSON does.
 * @throws CachectlError USAGE for what would come back as something else: Date, BigInt, Map, NaN, class instances, undefined in a list, a cycle
 */
export function plainJson(value: unknown): string {
  let text: string | undefined
  try {
    text = value === undefined ? undefined : JSON.stringify(value, checked)
  } catch (error) {
    if (error instanceof CachectlError) throw error
    throw notJson('it contains itself, or is nested too deeply or too large')
  }
  if (text === undefined) throw notJson('it is undefined')
  return text
}

/** The value of these bytes; null where they are no JSON in UTF-8. */
export function readPlainJson(bytes: Uint8Array): { value: unknown } | null {
  try {
    return { value: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) }
  } catch {
    return null
  }
}

/** A replacer sees what `toJSON` made of a value; what was there is in its holder. */
function checked(this: unknown, key: string, replaced: unknown): unknown {
  const value = (this as Record<string, unknown>)[key]
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return replaced
    case 'number':
      if (Number.isFinite(value) && !Object.is(value, -0)) return replaced
      break
    case 'undefined':
      if (!Array.isArray(this)) return replaced
      break
    case 'object':
      if (value === null || (value === replaced && isPlain(value))) return replaced
  }
  throw notJson(key === '' ? `it is ${nameOf(value)}` : `${JSON.stringify(key)} is ${nameOf(value)}`)
}

function isPlain(value: object): boolean {
  if (Array.isArray(value)) return true
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function nameOf(value: unknown): string {
  if (Object.is(value, -0)) return '-0'
  if (typeof value === 'number' || value === undefined) return String(value)
  return typeof value === 'object' ? `an instance of ${value?.constructor?.name || 'a class'}` : `a ${typeof value}`
}

function notJson(why: string): CachectlError {
  return new CachectlError('USAGE', `the value cannot be stored as plain JSON: ${why}`, {
    hint: 'give objects, arrays, text, finite numbers, booleans or null; a Date as text, a BigInt as text',
  })
}
