// Text as one word of a command line that is to be typed, and whole command lines.
import { printable } from './printable.ts'

/** As it is, or in quotes that no shell looks into. @param text escaped */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** A command of cachectl, with these words behind its name. */
export function commandLine(words: readonly string[]): string {
  return ['cachectl', ...words.map((word) => shellWord(printable(word)))].join(' ')
}
