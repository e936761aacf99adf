// From which server keys were read, in a line.
import { printable } from '../core/printable.ts'
import { formatBytes } from '../core/units.ts'
import type { ReadFrom } from '../ops/read-from.ts'

export function readFromText({ master, replica, lagBytes }: ReadFrom): string {
  if (replica === null) return printable(`keys read from ${master} itself: it has no replica that is in step`)
  const lag = lagBytes === null ? 'how far behind it was is not known' : `${formatBytes(lagBytes)} behind`
  return printable(`keys read from ${replica}, replica of ${master}, ${lag}`)
}
