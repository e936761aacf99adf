// Options by their names, where JavaScript or a widened type gives what nothing has checked: one that is none is refused, and the one that was meant is named.
import { CachectlError } from './errors.ts'
import { nearest } from './nearest.ts'
import { printable } from './printable.ts'

/** The names of all options of a kind; a record, so that none can be forgotten. */
export function optionNames<Options extends object>(all: Record<keyof Options, true>): ReadonlySet<string> {
  return new Set(Object.keys(all))
}

/** @param of whose options they are: `getOrSet` @throws CachectlError USAGE for what is no object, and for a name that is not known */
export function refuseUnknown(options: unknown, known: ReadonlySet<string>, of: string): void {
  if (typeof options !== 'object' || options === null)
    throw usage(`the options of ${of} are no object`, `it knows ${[...known].join(', ')}`)
  // Inherited ones count as well, but not what somebody has put on Object.prototype.
  for (const name in options) if (!known.has(name) && !(name in Object.prototype)) throw unknownName(name, known, of)
}

const SHOWN = 40

/** A value of the wrong kind, in words. */
export function shownKind(value: unknown): string {
  if (typeof value === 'string' && value !== '') return printable(value.slice(0, SHOWN))
  return typeof value === 'number' || typeof value === 'boolean' || value === null
    ? String(value)
    : `of type ${typeof value}`
}

function unknownName(name: string, known: ReadonlySet<string>, of: string): CachectlError {
  const meant = nearest(name, known)
  return usage(
    `\`${printable(name)}\` is no option of ${of}`,
    meant === null ? `it knows ${[...known].join(', ')}` : `did you mean \`${meant}\`?`,
  )
}

function usage(message: string, hint: string): CachectlError {
  return new CachectlError('USAGE', message, { hint })
}
