// The one line that --quiet leaves of a run that failed.
import { printable } from '../core/printable.ts'

/** What a source or a server says may have many lines, and whatever it likes in them. */
export function quietLine(command: string, why: string): string {
  return `${command}: ${printable(why)}\n`
}
