// Readers of single values and of the objects around them. A reader reports what is wrong and gives undefined, so that all problems come at once.
import { CachectlError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import { safeJson } from '../core/printable.ts'
import { parseDuration, parseSize } from '../core/units.ts'
import type { Place } from './problems.ts'

/** Undefined: the value is absent, or was wrong and is reported. */
export type Reader<T> = (value: unknown, place: Place) => T | undefined
type Read<F extends Record<string, Reader<unknown>>> = {
  [K in keyof F]: F[K] extends Reader<infer T> ? T | undefined : never
}

/** The object reader knows its options, for the reference in the docs. */
export interface ObjectReader<T> extends Reader<T> {
  readonly fields: Readonly<Record<string, Reader<unknown>>>
}

/** Options by name. Anything else is an error that says what was meant; `hints` are for names that people try. */
export function object<F extends Record<string, Reader<unknown>>>(
  fields: F,
  hints: Record<string, string> = {},
): ObjectReader<Read<F>> {
  const known = Object.keys(fields)
  const read: Reader<Read<F>> = (value, place) => {
    if (value === undefined) return undefined
    if (!isObject(value)) return wrong(place, value, 'an object')
    for (const key of Object.keys(value)) {
      if (known.includes(key)) continue
      const hint = Object.hasOwn(hints, key) ? hints[key] : undefined
      const meant = nearest(key, known)
      place
        .at(key)
        .report('is no option', hint ?? (meant ? `did you mean \`${meant}\`?` : `there are: ${known.join(', ')}`))
    }
    const entries = known.map((key) => [
      key,
      fields[key]?.(Object.hasOwn(value, key) ? value[key] : undefined, place.at(key)),
    ])
    return Object.fromEntries(entries) as Read<F>
  }
  return Object.assign(read, { fields })
}

/** Things by the names that people give them. */
export function record<T>(
  name: (name: string, place: Place) => void,
  item: Reader<T>,
): Reader<Record<string, T>> & { readonly item: Reader<T> } {
  const read: Reader<Record<string, T>> = (value, place) => {
    if (value === undefined) return undefined
    if (!isObject(value)) return wrong(place, value, 'an object')
    // no prototype: a thing may be called `constructor`
    const out: Record<string, T> = Object.create(null)
    for (const key of Object.keys(value)) {
      const inside = place.at(key)
      if (key === '__proto__') {
        inside.report('cannot be a name')
        continue
      }
      name(key, inside)
      const one = item(value[key], inside)
      if (one !== undefined) out[key] = one
      else if (value[key] === undefined) inside.report('is undefined', 'leave it out, or give it its options')
    }
    return out
  }
  return Object.assign(read, { item })
}

export function array<T>(item: Reader<T>): Reader<readonly T[]> {
  return (value, place) => {
    if (value === undefined) return undefined
    if (!Array.isArray(value)) return wrong(place, value, 'an array')
    return value.flatMap((one, index) => {
      const read = item(one, place.at(index))
      if (one === undefined) place.at(index).report('is undefined')
      return read === undefined ? [] : [read]
    })
  }
}

/** Names are segments of keys and words of a command line. */
export function checkName(name: string, place: Place): void {
  if (/^[A-Za-z][\w.-]{0,63}$/.test(name)) return
  place.report(
    `${safeJson(name.slice(0, 80))} cannot be a name`,
    'begin with a letter; use letters, digits, `_`, `-` and `.`, at most 64 of them',
  )
}

export const name: Reader<string> = (value, place) => {
  const read = text(value, place)
  if (read !== undefined) checkName(read, place)
  return read
}

export const text: Reader<string> = (value, place) => {
  if (value === undefined) return undefined
  if (typeof value !== 'string') return wrong(place, value, 'text')
  if (value === '') return place.report('is empty') as undefined
  return value
}

export const flag: Reader<boolean> = (value, place) => {
  return value === undefined || typeof value === 'boolean' ? value : wrong(place, value, '`true` or `false`')
}

export function fn<F>(what: string): Reader<F> {
  return (value, place) =>
    value === undefined || typeof value === 'function' ? (value as F | undefined) : wrong(place, value, what)
}

export function oneOf<const T extends string>(...words: readonly T[]): Reader<T> {
  return (value, place) => {
    if (value === undefined) return undefined
    if ((words as readonly unknown[]).includes(value)) return value as T
    const meant = typeof value === 'string' ? nearest(value, words) : null
    place.report(`${shown(value)} is none of ${words.join(', ')}`, meant && `did you mean '${meant}'?`)
    return undefined
  }
}

export function integer(min: number, max: number): Reader<number> {
  return (value, place) => {
    if (value === undefined) return undefined
    if (typeof value !== 'number') return wrong(place, value, 'a whole number')
    if (Number.isInteger(value) && value >= min && value <= max) return value
    place.report(`${value} is not a whole number from ${min} to ${max}`)
    return undefined
  }
}

export const jitter: Reader<number> = (value, place) => {
  if (value === undefined) return undefined
  if (typeof value !== 'number') return wrong(place, value, 'a number from 0 to 0.5')
  if (value >= 0 && value <= 0.5) return value
  const percent = value > 1 && value <= 50 ? `for ${value} % write ${value / 100}` : null
  place.report(`${value} is not from 0 to 0.5, a share of the TTL`, percent)
  return undefined
}

/** Milliseconds. */
export function duration(minMs: 0 | 1): Reader<number> {
  return (value, place) => {
    if (value === undefined) return undefined
    if (typeof value === 'number') {
      place.report(`${value} is a bare number`, withUnit(value))
      return undefined
    }
    if (value === 'never')
      return place.report(
        "'never' is for the `ttl` of a namespace or a model only",
        "write '5m' or the like",
      ) as undefined
    if (typeof value !== 'string') return wrong(place, value, "a duration like '90s', '15m' or '24h'")
    const ms = parsed(value, place, parseDuration)
    if (ms !== undefined && ms < minMs)
      return place.report(`'${value}' is no time at all`, "write '1s' or more") as undefined
    return ms
  }
}

/** Milliseconds, or null for `'never'`. */
export const ttl: Reader<number | null> = (value, place) => (value === 'never' ? null : duration(1)(value, place))

/** Bytes. */
export const size: Reader<number> = (value, place) => {
  if (value === undefined) return undefined
  if (typeof value === 'number')
    return place.report(`${value} is a bare number`, `write '${value}b', '${value}kb' or '${value}mb'`) as undefined
  if (typeof value !== 'string') return wrong(place, value, "a size like '4kb', '64mb' or '2gb'")
  return parsed(value, place, parseSize)
}

function parsed(value: string, place: Place, parse: (text: string) => number): number | undefined {
  try {
    return parse(value)
  } catch (error) {
    if (!(error instanceof CachectlError)) throw error
    place.report(error.message)
    return undefined
  }
}

/** Most bare numbers are seconds, and some milliseconds: which, only their author knows. */
function withUnit(count: number): string {
  if (!(count > 0)) return "write '5m' or the like"
  const larger = count % 3600 === 0 ? ` or '${count / 3600}h'` : count % 60 === 0 ? ` or '${count / 60}m'` : ''
  return `write '${count}s'${larger}, or '${count}ms' for milliseconds`
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Reports what the value is, not what it holds: it may be a secret that stands in the wrong place. */
export function wrong(place: Place, value: unknown, expected: string): undefined {
  const kind =
    value === null
      ? 'null'
      : Array.isArray(value)
        ? 'an array'
        : typeof value === 'object'
          ? 'an object'
          : `a ${typeof value}`
  place.report(`is ${kind === 'a string' ? 'text' : kind}, not ${expected}`)
}

function shown(value: unknown): string {
  return typeof value === 'string' ? safeJson(value.slice(0, 40)) : String(value)
}
