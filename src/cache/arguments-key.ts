// The rest of a key from the arguments of a call: text that is the same for equal arguments and different for all others.
import { CachectlError } from '../core/errors.ts'
import { isWellFormed } from '../core/invisible.ts'
import { idText } from '../core/key.ts'
import { printable } from '../core/printable.ts'

/** What `key:` gives: one segment, or several. */
export type KeyParts = string | number | bigint | readonly (string | number | bigint)[]

/** Levels of arguments; one that contains itself ends here too. */
const MAX_DEPTH = 100

/** Text that stands for something else than a string: a number, a BigInt, a word. A string like that is quoted. */
const NOT_A_STRING = /^(?:-?\d+(?:\.\d+)?(?:e[+-]?\d+)?n?|-?Infinity|NaN|true|false|null|undefined)$/
/** What separates and encloses; a string with one of these is quoted. */
const STRUCTURE = /['(),<=>]/

const TYPED_ARRAYS: ReadonlySet<unknown> = new Set(
  [
    Int8Array,
    Uint8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    BigInt64Array,
    BigUint64Array,
    Float32Array,
    Float64Array,
  ].map((View) => View.prototype),
)

/** Why an argument cannot be told from others, and where in it. */
class IndistinctError extends Error {
  path = ''
}

/**
 * One segment an argument: `7` for 7, `'7'` for '7', `de` for 'de', `(page=1,sort=name)` for an object, `<1,2>` for a list. Equal as
 * `util.isDeepStrictEqual` has it (order of fields, Map entries and Set members does not count; `{ a: undefined }` is not `{}`, -0 is not 0,
 * `f(1, undefined)` is not `f(1)`), but that objects without a prototype are like others. `name` is the function's, for messages.
 * @throws CachectlError KEY_INVALID for functions, symbols, class instances and whatever contains itself
 */
export function argumentsRest(args: readonly unknown[], name: string): string[] {
  const segments: string[] = []
  for (let i = 0; i < args.length; i++) segments.push(segmentOf(args[i], i, name))
  return segments
}

/** The segments that `key:` gave. Ids, as everywhere in keys: 7 and '7' are the same. @throws CachectlError KEY_INVALID */
export function partsRest(parts: KeyParts, name: string): string[] {
  try {
    return Array.isArray(parts) ? parts.map(idText) : [idText(parts as string)]
  } catch (error) {
    if (!(error instanceof CachectlError)) throw error
    throw new CachectlError('KEY_INVALID', `what \`key:\` gave for ${printable(name)} is no key: ${error.message}`, {
      hint: 'give non-empty text, numbers, or a list of them',
    })
  }
}

function segmentOf(argument: unknown, index: number, name: string): string {
  try {
    return textOf(argument, 0)
  } catch (error) {
    if (!(error instanceof IndistinctError)) throw error
    const where = error.path === '' ? '' : `, at ${printable(error.path.slice(0, 200))},`
    throw new CachectlError(
      'KEY_INVALID',
      `argument ${index + 1} of ${printable(name)}${where} ${error.message}: no key can be made of it`,
      { hint: 'say with `key:` what tells one call from another, e.g. `key: (user) => user.id`' },
    )
  }
}

function textOf(value: unknown, depth: number): string {
  switch (typeof value) {
    case 'string':
      return stringText(value)
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint':
      return `${value}n`
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'object':
      return value === null ? 'null' : objectText(value, depth)
    default:
      throw new IndistinctError(`is a ${typeof value}`)
  }
}

function stringText(text: string): string {
  if (text === '' || NOT_A_STRING.test(text) || STRUCTURE.test(text)) {
    return isWellFormed(text) ? `'${text.replaceAll("'", "''")}'` : utf16Text(text)
  }
  return isWellFormed(text) ? text : utf16Text(text)
}

/** Half of a surrogate pair cannot stand in a key. */
function utf16Text(text: string): string {
  return `UTF16(${Buffer.from(text, 'utf16le').toString('base64')})`
}

function objectText(value: object, depth: number): string {
  if (depth >= MAX_DEPTH) throw new IndistinctError(`is nested deeper than ${MAX_DEPTH} levels, or contains itself`)
  const prototype = Object.getPrototypeOf(value)
  if (isPlain(prototype)) return `(${fieldTexts(value as Record<string, unknown>, depth)})`
  // lists of another realm (vm contexts) are lists
  if (Array.isArray(value) && (prototype === Array.prototype || prototype.constructor?.name === 'Array')) {
    return `<${itemTexts(value, depth)}>`
  }
  if (Buffer.isBuffer(value)) return `Buffer(${value.toString('base64')})`
  if (TYPED_ARRAYS.has(prototype)) {
    const { buffer, byteOffset, byteLength } = value as Uint8Array
    return `${prototype.constructor.name}(${Buffer.from(buffer, byteOffset, byteLength).toString('base64')})`
  }
  const content = contentText(value, prototype, depth)
  if (content === null) throw new IndistinctError(`is an instance of ${prototype.constructor?.name || 'a class'}`)
  if (Reflect.ownKeys(value).length > 0) throw new IndistinctError('has fields that its type does not have')
  return content
}

function isPlain(prototype: object | null): boolean {
  if (prototype === Object.prototype || prototype === null) return true
  return Object.getPrototypeOf(prototype) === null && prototype.constructor?.name === 'Object'
}

function contentText(value: object, prototype: object, depth: number): string | null {
  if (prototype === Date.prototype) {
    const timeMs = (value as Date).getTime()
    return `Date(${Number.isNaN(timeMs) ? 'NaN' : (value as Date).toISOString()})`
  }
  if (prototype === Map.prototype) {
    const entries = Array.from(value as Map<unknown, unknown>, ([key, item]) =>
      at(
        `.get(${typeof key === 'object' ? '…' : String(key)})`,
        () => `${textOf(key, depth + 1)}=${textOf(item, depth + 1)}`,
      ),
    )
    return `Map(${entries.sort().join()})`
  }
  if (prototype === Set.prototype) {
    return `Set(${Array.from(value as Set<unknown>, (item) => at('.values()', () => textOf(item, depth + 1)))
      .sort()
      .join()})`
  }
  return null
}

function fieldTexts(fields: Record<string, unknown>, depth: number): string {
  const symbol = Object.getOwnPropertySymbols(fields).find((key) =>
    Object.prototype.propertyIsEnumerable.call(fields, key),
  )
  if (symbol !== undefined) throw new IndistinctError(`has a field that is named by a symbol, ${String(symbol)}`)
  return Object.keys(fields)
    .sort()
    .map((key) => at(`.${key}`, () => `${stringText(key)}=${textOf(fields[key], depth + 1)}`))
    .join()
}

function itemTexts(items: readonly unknown[], depth: number): string {
  // holes have no index among the keys, and what was hung on a list has one too many
  if (Object.keys(items).length !== items.length) throw new IndistinctError('has holes, or fields beside its items')
  return items.map((item, index) => at(`[${index}]`, () => textOf(item, depth + 1))).join()
}

/** Puts the place of what cannot be told apart before the message. */
function at(step: string, text: () => string): string {
  try {
    return text()
  } catch (error) {
    if (error instanceof IndistinctError) error.path = step + error.path
    throw error
  }
}
