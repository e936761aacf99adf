// What a run of the journal counted, in a few words: what is nought, or said by another count already, is left out.
import { formatBytes, formatCount } from '../core/units.ts'

/** What the others are parts of. */
const TOTALS: readonly string[] = ['selected', 'loaded', 'matched']

/** `1,060 written`, `85.4 KB`; of several outcomes the total as well: `1,560 selected`, `60 written`, `500 failed`. */
export function runCounts(counts: Readonly<Record<string, number>> | null): string[] {
  const named = Object.entries(counts ?? {}).filter(([, count]) => count !== 0)
  const parts = named.filter(([name]) => !TOTALS.includes(name) && name !== 'bytes')
  const totals = named.filter(([name]) => TOTALS.includes(name))
  const isSaid = ([name, count]: [string, number], before: readonly [string, number][]) =>
    TOTALS.includes(name) && [...parts, ...before].some(([, other]) => other === count)
  return named
    .filter((one) => !isSaid(one, totals.slice(0, totals.indexOf(one))))
    .map(([name, count]) => (name === 'bytes' ? formatBytes(count) : `${formatCount(count)} ${wordsOf(name, count)}`))
}

/** `alreadyGone` is `already gone`, and one of `scopes` is a scope. */
function wordsOf(name: string, count: number): string {
  const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
  return name === 'scopes' && count === 1 ? 'scope' : words
}
