// The rows of `keys` for people: one key a line, so that they can be counted, cut and piped.
import { formatBytes, formatDuration } from '../core/units.ts'
import type { KeyRow } from '../ops/keys.ts'

/** `details`: TTL, size and age before the key; without them the line is the key alone. Each line ends with a line break. */
export function renderKeys(rows: readonly KeyRow[], details: { ttlAndSize: boolean; age: boolean }): string {
  let text = ''
  for (const { key, ttlMs, bytes, ageMs } of rows) {
    if (details.ttlAndSize)
      text += `${column(ttlMs === null ? '-' : formatDuration(ttlMs), 9)}  ${column(bytes === null ? '-' : formatBytes(bytes), 9)}  `
    if (details.age) text += `${column(ageMs === null ? '-' : formatDuration(ageMs), 9)}  `
    text += `${key}\n`
  }
  return text
}

function column(text: string, width: number): string {
  return text.padStart(width)
}
