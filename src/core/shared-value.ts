// A decoded value that several callers hold: frozen where it can be, copied where it cannot. Values are trees: what decoding gives.

/** Freezes the value in all its depth; false, and nothing is frozen: it holds parts that can be changed all the same (Date, Map, Set, bytes). */
export function freezeValue(value: unknown): boolean {
  if (!freezable(value)) return false
  freeze(value)
  return true
}

function freezable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (Array.isArray(value)) return value.every(freezable)
  return isPlain(value) && Object.values(value).every(freezable)
}

function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  for (const part of Object.values(value)) freeze(part)
  Object.freeze(value)
}

/** A copy that shares nothing which can be changed. `structuredClone` would make plain bytes of a Buffer. */
export function copyValue<T>(value: T): T
export function copyValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((part) => copyValue(part))
  if (isPlain(value)) return copyObject(value)
  if (value instanceof Date) return new Date(value.getTime())
  if (value instanceof Map) return new Map([...value].map(([key, part]) => [copyValue(key), copyValue(part)]))
  if (value instanceof Set) return new Set([...value].map((part) => copyValue(part)))
  if (Buffer.isBuffer(value)) return Buffer.from(value)
  return structuredClone(value)
}

function copyObject(value: object): object {
  const copy: Record<string, unknown> = {}
  for (const [key, part] of Object.entries(value)) {
    // assigned, this field would set the prototype
    if (key === '__proto__') {
      Object.defineProperty(copy, key, { value: copyValue(part), enumerable: true, writable: true, configurable: true })
    } else copy[key] = copyValue(part)
  }
  return copy
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
