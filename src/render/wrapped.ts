// Sentences within 80 columns.
const WIDTH = 80

/** Lines of at most 80 characters, broken at spaces; all but the first are indented by two. A word that is longer stands on its own. */
export function wrapped(text: string): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line.trim() !== '' && line.length + 1 + word.length > WIDTH) {
      lines.push(line)
      line = `  ${word}`
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
