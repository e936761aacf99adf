// Durations in milliseconds and sizes in bytes: how people write them, how reports show them.
import { CachectlError } from './errors.ts'
import { safeJson } from './printable.ts'

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** 100 years: beyond it, adding the duration to a clock would leave what Redis and the entry header can hold. */
const LONGEST_MS = 36_500 * DAY_MS

/** Largest first, the order in which a compound duration is written. */
const DURATION_UNITS = [
  ['d', DAY_MS],
  ['h', HOUR_MS],
  ['m', MINUTE_MS],
  ['s', SECOND_MS],
  ['ms', 1],
] as const

const SIZE_UNITS: Readonly<Record<string, number>> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3, tb: 1024 ** 4 }

/**
 * Milliseconds of `'90s'`, `'15m'`, `'24h'`, `'7d'`, `'250ms'`, `'1.5h'`, `'1h30m'` (largest unit first, each once).
 * @throws CachectlError USAGE that says what to write
 */
export function parseDuration(text: string): number {
  if (typeof text !== 'string') throw notText(text, 'a duration', 's')
  const trimmed = text.trim()
  if (/^\d+(\.\d+)?$/.test(trimmed)) {
    throw usage(
      `"${trimmed}" has no unit: write "${trimmed}s" for seconds, "${trimmed}m" for minutes or "${trimmed}ms" for milliseconds`,
    )
  }
  if (!/^(\d{1,15}(\.\d{1,9})?\s*(ms|[smhd])\s*)+$/.test(trimmed)) throw notADuration(text)
  let totalMs = 0
  let allowedFrom = 0
  for (const [, amount, unit] of trimmed.matchAll(/([\d.]+)\s*(ms|[smhd])/g)) {
    const index = DURATION_UNITS.findIndex(([name]) => name === unit)
    const scale = DURATION_UNITS[index]?.[1]
    if (scale === undefined || index < allowedFrom) throw notADuration(text)
    totalMs += Number(amount) * scale
    allowedFrom = index + 1
  }
  const wholeMs = Math.round(totalMs)
  if (Math.abs(totalMs - wholeMs) > 1e-6) throw usage(`"${trimmed}" is not a whole number of milliseconds`)
  if (wholeMs > LONGEST_MS) throw usage(`"${trimmed}" is too long: the longest duration is 36500d`)
  return wholeMs
}

/** `'250 ms'`, `'1.5 s'`, `'4m 1s'`, `'2h 5m'`, `'41 d'`: at most two units, rounded; days alone from 10 on. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return String(ms)
  if (ms < 0) return `-${formatDuration(-ms)}`
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 9_950) return `${trimZeros((ms / SECOND_MS).toFixed(1))} s`
  if (ms < 59_500) return `${Math.round(ms / SECOND_MS)} s`
  if (ms < HOUR_MS - 500) return pair(ms, MINUTE_MS, 'm', SECOND_MS, 's')
  if (ms < DAY_MS - MINUTE_MS / 2) return pair(ms, HOUR_MS, 'h', MINUTE_MS, 'm')
  if (ms < 10 * DAY_MS - HOUR_MS / 2) return pair(ms, DAY_MS, 'd', HOUR_MS, 'h')
  return `${formatCount(Math.round(ms / DAY_MS))} d`
}

function pair(ms: number, largeMs: number, large: string, smallMs: number, small: string): string {
  const smalls = Math.round(ms / smallMs)
  const perLarge = largeMs / smallMs
  const rest = smalls % perLarge
  const count = Math.floor(smalls / perLarge)
  return rest === 0 ? `${count} ${large}` : `${count}${large} ${rest}${small}`
}

/** Of what JavaScript gave in its place. */
function notText(given: unknown, what: string, unit: string): CachectlError {
  const example = typeof given === 'number' && given >= 0 && given < 1e15 ? `${given}${unit}` : `10${unit}`
  const shown = typeof given === 'number' ? String(given) : given === null ? 'null' : `a value of type ${typeof given}`
  return usage(`${shown} is not ${what}: write text with a unit, as "${example}"`)
}

/**
 * Bytes of `'512b'`, `'4kb'`, `'1.5mb'`, `'2gb'`, `'1tb'`, in upper or lower case; 1 kb is 1,024 bytes; rounded to a whole byte.
 * @throws CachectlError USAGE that says what to write
 */
export function parseSize(text: string): number {
  if (typeof text !== 'string') throw notText(text, 'a size', 'mb')
  const trimmed = text.trim()
  const match = /^(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]*)$/i.exec(trimmed)
  const [, amount = '', unit = ''] = match ?? []
  if (match && unit === '')
    throw usage(`"${trimmed}" has no unit: write "${trimmed}kb", "${trimmed}mb" or "${trimmed}b"`)
  const scale = Object.hasOwn(SIZE_UNITS, unit.toLowerCase()) ? SIZE_UNITS[unit.toLowerCase()] : undefined
  if (scale === undefined) throw usage(`${quote(text)} is not a size: write "512b", "4kb", "64mb" or "2gb"`)
  const bytes = Math.round(Number(amount) * scale)
  if (!Number.isSafeInteger(bytes)) throw usage(`"${trimmed}" is too large a size`)
  return bytes
}

/** `'12 B'`, `'45.2 MB'`, `'64 MB'`: 1,024-based, at most one decimal. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return String(bytes)
  if (bytes < 0) return `-${formatBytes(-bytes)}`
  if (bytes < 1023.5) return `${Math.round(bytes)} B`
  let value = bytes / 1024
  let unit = 0
  const units = ['KB', 'MB', 'GB', 'TB', 'PB']
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${trimZeros(value.toFixed(1))} ${units[unit]}`
}

/** `'1,247'`, rounded to a whole number. */
export function formatCount(n: number): string {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** `'95.39 %'`, `'42 %'` of a ratio from 0 to 1. What is nearly none or nearly all is not shown as `0 %` or `100 %`. */
export function formatPercent(ratio: number): string {
  if (!Number.isFinite(ratio)) return String(ratio)
  const percent = ratio * 100
  if (percent > 0 && percent < 0.01) return '<0.01 %'
  if (percent > 99.99 && percent < 100) return '>99.99 %'
  return `${trimZeros(percent.toFixed(2))} %`
}

function trimZeros(decimal: string): string {
  return decimal.replace(/\.?0+$/, '')
}

function notADuration(text: string): CachectlError {
  return usage(`${quote(text)} is not a duration: write "90s", "15m", "24h", "7d", "250ms" or "1h30m"`)
}

/** Arguments come from people and files: quoted short, and never raw. */
function quote(text: string): string {
  return safeJson(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}

function usage(message: string): CachectlError {
  return new CachectlError('USAGE', message, {
    hint: 'durations are 90s, 15m, 24h, 7d, 250ms; sizes are 512b, 4kb, 64mb, 2gb',
  })
}
