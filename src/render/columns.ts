// Plain columns without borders, as terminals and `column -t` have them. A terminal that is too narrow loses columns, never parts of them.
import Table from 'cli-table3'
import { PLAIN_TABLE } from './table.ts'

export interface Column<Row> {
  title: string
  align: 'left' | 'right'
  /** escaped text */
  cell(row: Row): string
  /** the column with the highest number goes first where there is no room; none: it stays */
  droppedAs?: number
}

export interface Columns {
  lines: string[]
  /** titles of the columns that had no room, in the order they went */
  dropped: string[]
}

/** `widthColumns` null: no terminal, everything is shown. `paintTitle` colours the heading. */
export function layOut<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  widthColumns: number | null,
  paintTitle: (text: string) => string,
): Columns {
  let shown = [...columns]
  const dropped: string[] = []
  let lines = draw(rows, shown)
  while (widthColumns !== null && lines.some((line) => displayWidth(line) > widthColumns)) {
    const [first] = shown
      .filter((column) => column.droppedAs !== undefined)
      .sort((a, b) => (b.droppedAs ?? 0) - (a.droppedAs ?? 0))
    if (first === undefined) break
    shown = shown.filter((column) => column !== first)
    dropped.push(first.title)
    lines = draw(rows, shown)
  }
  return { lines: lines.map((line, index) => (index === 0 ? paintTitle(line) : line)), dropped }
}

/** What is not shown, and where it is; nothing where all is. */
export function noRoomFor(dropped: readonly string[]): string[] {
  return dropped.length === 0 ? [] : [`no room for: ${dropped.join(', ')} (a pipe or --json has them)`]
}

function draw<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string[] {
  const table = new Table({
    ...PLAIN_TABLE,
    colAligns: columns.map((column) => column.align),
  })
  table.push(columns.map((column) => column.title))
  for (const row of rows) table.push(columns.map((column) => column.cell(row)))
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
}

/** Terminal cells of a line without colours: the wide characters of East Asia take two. */
export function displayWidth(line: string): number {
  let width = 0
  for (const char of line)
    width += /\p{M}/u.test(char)
      ? 0
      : /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{1f300}-\u{1faff}]/u.test(
            char,
          )
        ? 2
        : 1
  return width
}
