// Sentences within the width of a terminal.

/** Lines of at most `width` characters, broken at spaces; all but the first are indented. A word that is longer stands on its own. */
export function wrapped(text: string, { width = 80, indent = 2 } = {}): string[] {
  const lines: string[] = []
  const [words, before] = [text.trimStart().split(' '), text.length - text.trimStart().length]
  let line = ' '.repeat(before) + (words[0] ?? '')
  for (const word of words.slice(1)) {
    if (line.length + 1 + word.length > width) {
      lines.push(line)
      line = `${' '.repeat(indent)}${word}`
    } else line = `${line} ${word}`
  }
  return [...lines, line]
}
