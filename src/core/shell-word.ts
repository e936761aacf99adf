// Text as one word of a command line that is to be typed.

/** As it is, or in quotes that no shell looks into. @param text escaped */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
