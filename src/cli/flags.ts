// Flags that several commands share, and the parsers of their values. A bad value is a usage error before anything is opened.
import { type Command, InvalidArgumentError, Option } from 'commander'
import { parseDuration, parseSize } from '../core/units.ts'

export interface GlobalFlags {
  config?: string
  redis?: string
  tenant?: string
  output: 'table' | 'json' | 'ndjson'
  json?: boolean
  quiet?: boolean
  verbose?: boolean
  color: boolean
  input: boolean
  /** milliseconds */
  deadline?: number
}

export function addGlobalFlags(program: Command): Command {
  return program
    .option('-c, --config <file>', 'config file, instead of the nearest cache.config.*')
    .option('--redis <url>', 'Redis to use: redis://, rediss://, unix:/path, or "embedded" for a private one')
    .option('--tenant <id>', 'entries of this tenant only; also --<label> <id> by the label of the config')
    .addOption(
      new Option('-o, --output <format>', 'how the answer is written')
        .choices(['table', 'json', 'ndjson'])
        .default('table'),
    )
    .option('--json', 'short for --output json')
    .option('-q, --quiet', 'nothing on success, one line on failure')
    .option('-v, --verbose', 'say more on stderr')
    .option('--no-color', 'no colours; NO_COLOR and FORCE_COLOR are heard too')
    .option('--no-input', 'never ask')
    .option('--deadline <duration>', 'stop after this time, e.g. 90s or 15m; what is done is kept, exit 3', duration)
}

/** What a timer of Node holds. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** A duration in milliseconds. */
export function duration(text: string): number {
  const ms = argument(() => parseDuration(text))
  if (ms > LONGEST_TIMER_MS) throw new InvalidArgumentError('Give at most 24d.')
  return ms
}

/** A size in bytes. */
export function size(text: string): number {
  return argument(() => parseSize(text))
}

export function positiveInteger(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('Give a whole number from 1 up.')
  return value
}

/** An instant as ISO 8601 UTC text: given as such, or as a duration before now. */
export function instant(text: string): string {
  if (/^\d{4}-\d\d-\d\d([T ].*)?$/.test(text)) {
    const date = new Date(/T|:/.test(text) && !/(Z|[+-]\d\d:?\d\d)$/.test(text) ? `${text}Z` : text)
    if (!Number.isNaN(date.getTime())) return date.toISOString()
    throw new InvalidArgumentError('Give a date such as 2026-11-21T03:00:00Z, or a time before now such as 24h.')
  }
  return new Date(Date.now() - argument(() => parseDuration(text))).toISOString()
}

function argument<T>(parse: () => T): T {
  try {
    return parse()
  } catch (thrown) {
    throw new InvalidArgumentError(thrown instanceof Error ? thrown.message : String(thrown))
  }
}
