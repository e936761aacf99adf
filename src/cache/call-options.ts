// What may be said of a call: the names of its options, and of which kind their values are. JavaScript gives what no type has checked.
import { CachectlError } from '../core/errors.ts'
import { optionNames, shownKind } from '../core/option-names.ts'
import { parseDuration, parseSize } from '../core/units.ts'
import type { CallOptions } from './policy.ts'

export const CALL_OPTIONS = optionNames<CallOptions>({
  ttl: true,
  grace: true,
  jitter: true,
  compress: true,
  negativeTtl: true,
  timeout: true,
  beta: true,
  tags: true,
  clone: true,
  schema: true,
  validateWith: true,
})
/** Of reads of one entry. */
export const READ_OPTIONS: ReadonlySet<string> = new Set([...CALL_OPTIONS, 'as'])
export const TOUCH_OPTIONS = optionNames<Pick<CallOptions, 'ttl' | 'grace'>>({ ttl: true, grace: true })
const TIMEOUTS: ReadonlySet<string> = new Set(['soft', 'hard'])

/** What nothing else looks at before it is used. @throws CachectlError USAGE */
export function checkKinds({ jitter, beta, timeout, clone, compress, validateWith }: CallOptions): void {
  if (jitter !== undefined && !(typeof jitter === 'number' && jitter >= 0 && jitter <= 0.5))
    throw usage(`\`jitter\` is ${shownKind(jitter)}`, 'give a share of the TTL from 0 to 0.5')
  if (beta !== undefined && !(typeof beta === 'number' && beta >= 0 && beta < Number.POSITIVE_INFINITY))
    throw usage(`\`beta\` is ${shownKind(beta)}`, 'give 0, 1, or more to refresh earlier')
  if (timeout !== undefined) checkTimeout(timeout)
  if (clone !== undefined && typeof clone !== 'boolean')
    throw usage(`\`clone\` is ${shownKind(clone)}`, 'give true or false')
  if (compress !== undefined && compress !== false && (typeof compress !== 'object' || compress === null))
    throw usage(`\`compress\` is ${shownKind(compress)}`, "write `compress: { above: '4kb' }` or `compress: false`")
  if (validateWith !== undefined && typeof validateWith !== 'function')
    throw usage('`validateWith` is no function', 'give one that asks the source for its version: `() => updatedAt`')
}

/** An entry holds each of its tags with its stamp, and a hit reads them all. */
const MOST_TAGS = 128
const LONGEST_TAG = 512

/** @throws CachectlError USAGE */
export function checkTags(tags: readonly string[]): void {
  // a text would be taken for the list of its characters
  if (!Array.isArray(tags) || tags.some((tag) => typeof tag !== 'string'))
    throw usage('tags are no list of texts', "write `tags: ['org:7']`")
  if (tags.length > MOST_TAGS && new Set(tags).size > MOST_TAGS)
    throw usage(`an entry has ${tags.length} tags`, `give it ${MOST_TAGS} at most: one for all that changes together`)
  const long = tags.find((tag) => tag.length > LONGEST_TAG)
  if (long !== undefined)
    throw usage(`a tag has ${long.length} characters`, `give it ${LONGEST_TAG} at most: an id rather than a text`)
}

function checkTimeout(timeout: unknown): void {
  const names = typeof timeout === 'object' && timeout !== null ? Object.keys(timeout) : ['']
  if (names.every((name) => TIMEOUTS.has(name))) return
  throw usage(
    names[0] === '' ? '`timeout` is no object' : `\`timeout\` knows no ${names.find((name) => !TIMEOUTS.has(name))}`,
    "write `timeout: { hard: '5s' }`, or `soft`",
  )
}

/** @param as of get and getOrSet @throws CachectlError USAGE */
export function checkAs(as: unknown): void {
  if (as !== undefined && as !== 'hit')
    throw usage(`\`as\` is ${shownKind(as)}`, "write `as: 'hit'`, or leave it out for the value alone")
}

/** Calls write the same few again and again. */
const PARSED = new Map<string, number>()
const MOST_PARSED = 1_000

/** Milliseconds of an option. @throws CachectlError USAGE that names it */
export function durationOption(name: string, text: string): number {
  const known = PARSED.get(text)
  if (known !== undefined) return known
  const ms = named(name, () => parseDuration(text))
  if (PARSED.size >= MOST_PARSED) PARSED.clear()
  PARSED.set(text, ms)
  return ms
}

/** @throws CachectlError USAGE that names the option */
export function sizeOption(name: string, text: string): number {
  return named(name, () => parseSize(text))
}

function named<T>(name: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw error instanceof CachectlError ? usage(`\`${name}\`: ${error.message}`, error.hint) : error
  }
}

function usage(message: string, hint: string): CachectlError {
  return new CachectlError('USAGE', message, { hint })
}
