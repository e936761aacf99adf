// JSON that holds what JSON cannot: Date, BigInt, Map, Set, bytes, typed arrays, NaN, undefined. A tag is an object with one key that begins with `~`.

/** Levels of JSON; a value that refers to itself ends here too. */
const MAX_DEPTH = 1000

const VIEWS = {
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
} as const

/** Why a value cannot be stored, and where in it: `['rows', 3, 'onClick']`. */
export class UnstorableError extends Error {
  readonly path: (string | number)[] = []
}

/** Text that no encoder wrote. */
export class MalformedError extends Error {}

/**
 * The value with all that plain JSON cannot hold replaced by tags. Gives back the very same value where there is nothing to replace: then plain JSON will do.
 * The value is not changed. @throws UnstorableError for what would not come back equal
 */
export function tagged(value: unknown): unknown {
  return tag(value, 0)
}

function tag(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      // NaN and the infinities differ from themselves by NaN; -0 is 0 but for its reciprocal
      if (value - value === 0 && (value !== 0 || 1 / value > 0)) return value
      return { '~number': Object.is(value, -0) ? '-0' : String(value) }
    case 'undefined':
      return { '~undefined': true }
    case 'bigint':
      return { '~bigint': value.toString() }
    case 'object':
      return value === null ? null : tagObject(value, depth)
    default:
      throw new UnstorableError(`is a ${typeof value}`)
  }
}

function tagObject(value: object, depth: number): unknown {
  if (depth >= MAX_DEPTH) throw new UnstorableError(`is nested deeper than ${MAX_DEPTH} levels, or contains itself`)
  const prototype = Object.getPrototypeOf(value)
  if (prototype === Array.prototype) return tagItems(value as unknown[], depth)
  if (prototype === Object.prototype) return tagFields(value as Record<string, unknown>, depth)
  // milliseconds: JSON writes those of an invalid date as null
  if (prototype === Date.prototype) return { '~date': (value as Date).getTime() }
  if (prototype === Map.prototype) return { '~map': tagItems(Array.from(value as Map<unknown, unknown>), depth + 1) }
  if (prototype === Set.prototype) return { '~set': tagItems(Array.from(value as Set<unknown>), depth + 1) }
  if (Buffer.isBuffer(value)) return { '~buffer': value.toString('base64') }
  if (prototype === ArrayBuffer.prototype)
    return { '~arraybuffer': Buffer.from(value as ArrayBuffer).toString('base64') }
  for (const [name, View] of Object.entries(VIEWS)) {
    if (prototype !== View.prototype) continue
    const { buffer, byteOffset, byteLength } = value as Uint8Array
    return { '~typed': [name, Buffer.from(buffer, byteOffset, byteLength).toString('base64')] }
  }
  // objects without a prototype, and those of another realm (vm contexts), come back as ordinary ones
  if (prototype === null || (Object.getPrototypeOf(prototype) === null && prototype.constructor?.name === 'Object')) {
    return tagFields(value as Record<string, unknown>, depth)
  }
  if (Array.isArray(value) && prototype.constructor?.name === 'Array') return tagItems(value, depth)
  throw new UnstorableError(`is an instance of ${prototype.constructor?.name || 'a class'}`)
}

function tagItems(items: readonly unknown[], depth: number): unknown {
  let copy: unknown[] | null = null
  let index = 0
  try {
    for (; index < items.length; index++) {
      const item = items[index]
      if (item === undefined && !(index in items)) throw new UnstorableError('is a hole in an array')
      const replaced = tag(item, depth + 1)
      if (replaced === item) continue
      copy ??= Array.from(items)
      copy[index] = replaced
    }
  } catch (error) {
    if (error instanceof UnstorableError) error.path.unshift(index)
    throw error
  }
  return copy ?? items
}

function tagFields(fields: Record<string, unknown>, depth: number): unknown {
  if (typeof fields.toJSON === 'function') throw new UnstorableError('has a toJSON method')
  const keys = Object.keys(fields)
  let copy: Record<string, unknown> | null = null
  let at = 0
  try {
    for (; at < keys.length; at++) {
      const key = keys[at] as string
      const field = fields[key]
      const replaced = tag(field, depth + 1)
      if (replaced === field) continue
      // a spread defines fields, so that an own `__proto__` stays one, and the assignment finds it
      copy ??= { ...fields }
      copy[key] = replaced
    }
  } catch (error) {
    if (error instanceof UnstorableError) error.path.unshift(keys[at] as string)
    throw error
  }
  return keys.length === 1 && isTagName(keys[0] as string) ? { '~object': copy ?? fields } : (copy ?? fields)
}

function isTagName(key: string): boolean {
  return key.charCodeAt(0) === 0x7e
}

/** The value that `tagged` replaced, from its parsed JSON, which is changed in place. @throws MalformedError, or RangeError when nested too deeply */
export function untagged(json: unknown): unknown {
  if (typeof json !== 'object' || json === null) return json
  if (Array.isArray(json)) {
    for (let i = 0; i < json.length; i++) if (typeof json[i] === 'object') json[i] = untagged(json[i])
    return json
  }
  const fields = json as Record<string, unknown>
  const keys = Object.keys(fields)
  const first = keys[0]
  if (keys.length === 1 && first !== undefined && isTagName(first)) return untag(first, fields[first])
  return untagFields(fields, keys)
}

function untagFields(fields: Record<string, unknown>, keys: readonly string[]): Record<string, unknown> {
  // JSON.parse made own fields of all keys, `__proto__` too: the assignment below never reaches a prototype
  for (const key of keys) if (typeof fields[key] === 'object') fields[key] = untagged(fields[key])
  return fields
}

function untag(name: string, content: unknown): unknown {
  switch (name) {
    case '~date':
      return date(content)
    case '~bigint':
      return BigInt(matching(content, /^-?\d+$/))
    case '~number':
      return Number(matching(content, /^(?:NaN|-?Infinity|-0)$/))
    case '~undefined':
      return undefined
    case '~map':
      return new Map(list(content).map((entry) => pair(entry)))
    case '~set':
      return new Set(list(content).map(untagged))
    case '~buffer':
      return base64(content)
    case '~arraybuffer':
      return Uint8Array.from(base64(content)).buffer
    case '~typed':
      return typedArray(pair(content))
    case '~object':
      if (typeof content !== 'object' || content === null || Array.isArray(content)) throw new MalformedError()
      return untagFields(content as Record<string, unknown>, Object.keys(content))
    default:
      throw new MalformedError()
  }
}

function date(content: unknown): Date {
  if (content === null) return new Date(Number.NaN)
  const value = new Date(typeof content === 'number' ? content : Number.NaN)
  if (value.getTime() !== content) throw new MalformedError()
  return value
}

function typedArray([name, content]: [unknown, unknown]): unknown {
  if (typeof name !== 'string' || !Object.hasOwn(VIEWS, name)) throw new MalformedError()
  const View = VIEWS[name as keyof typeof VIEWS]
  const { buffer } = Uint8Array.from(base64(content))
  if (buffer.byteLength % View.BYTES_PER_ELEMENT !== 0) throw new MalformedError()
  return new View(buffer)
}

function base64(content: unknown): Buffer {
  const bytes = Buffer.from(text(content), 'base64')
  if (bytes.toString('base64') !== content) throw new MalformedError()
  return bytes
}

function matching(content: unknown, pattern: RegExp): string {
  if (!pattern.test(text(content))) throw new MalformedError()
  return content as string
}

function text(content: unknown): string {
  if (typeof content !== 'string') throw new MalformedError()
  return content
}

function list(content: unknown): unknown[] {
  if (!Array.isArray(content)) throw new MalformedError()
  return content
}

function pair(content: unknown): [unknown, unknown] {
  const items = list(content)
  if (items.length !== 2) throw new MalformedError()
  return [untagged(items[0]), untagged(items[1])]
}
