// Order of source versions: which of two texts that a database gave for "last changed" is the later one.

export type VersionOrder = 'equal' | 'older' | 'newer' | 'unknown'

interface Ordered {
  form: 'number' | 'row version' | 'local time' | 'instant'
  value: bigint
}

const NUMBER = /^([+-]?)(\d{1,200})(?:\.(\d{1,18}))?$/
const ROW_VERSION = /^0x[0-9a-f]{1,64}$/i
const TIME =
  /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,18}))?)?)?\s?(?:(Z|UTC)|([+-])(\d\d)(?::?(\d\d))?(?::(\d\d))?)?$/i
const FRACTION_DIGITS = 18
const UNIT = 10n ** BigInt(FRACTION_DIGITS)

/**
 * Whether `a` is older or newer than `b`. Compared are whole and decimal numbers, times (exact to the last digit given, zones taken into account)
 * and row versions (`0x…`), each with its own kind; any other text is equal or unknown, for the order of an ETag's letters says nothing.
 */
export function compareVersions(a: string | null, b: string | null): VersionOrder {
  if (a === null || b === null) return 'unknown'
  if (a === b) return 'equal'
  const [first, second] = [ordered(a), ordered(b)]
  if (first === null || second === null || first.form !== second.form) return 'unknown'
  if (first.value === second.value) return 'equal'
  return first.value < second.value ? 'older' : 'newer'
}

function ordered(text: string): Ordered | null {
  const number = NUMBER.exec(text)
  if (number) {
    const [, sign, whole = '', fraction] = number
    const value = scaled(BigInt(whole), fraction)
    return { form: 'number', value: sign === '-' ? -value : value }
  }
  if (ROW_VERSION.test(text)) return { form: 'row version', value: BigInt(text) }
  return orderedTime(text)
}

function orderedTime(text: string): Ordered | null {
  const match = TIME.exec(text)
  if (!match) return null
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction, utc, sign, ...offset] = match
  const seconds = Date.UTC(+(year ?? 0), +(month ?? 0) - 1, +(day ?? 0), +hour, +minute, +second) / 1000
  const [hours = '0', minutes = '0', rest = '0'] = offset
  const offsetSeconds = (sign === '-' ? -1 : 1) * (+hours * 3600 + +minutes * 60 + +rest)
  const zoned = utc !== undefined || sign !== undefined
  return { form: zoned ? 'instant' : 'local time', value: scaled(BigInt(seconds - offsetSeconds), fraction) }
}

function scaled(whole: bigint, fraction: string | undefined): bigint {
  return whole * UNIT + BigInt((fraction ?? '').padEnd(FRACTION_DIGITS, '0'))
}
