// A finding for people, in `stats` and `doctor` alike.
import type { ChalkInstance } from 'chalk'
import type { Finding } from '../core/diagnose.ts'
import { wrapped } from './wrapped.ts'

const MARKS = { critical: '✗', warning: '!', info: '·' } as const
const INDENT = 4

/** A command is never broken: it is there to be copied. */
export function findingLines({ id, severity, evidence, advice, next }: Finding, paint: ChalkInstance): string[] {
  const mark = MARKS[severity]
  const colour = { critical: paint.red, warning: paint.yellow, info: paint.dim }[severity]
  const [first = '', ...rest] = wrapped(`  ${mark} ${id}: ${evidence}`, { indent: INDENT })
  return [
    first.replace(mark, colour(mark)),
    ...rest,
    ...wrapped(`${' '.repeat(INDENT)}${advice}`, { indent: INDENT }).map((line) => paint.dim(line)),
    ...(next === null ? [] : [`${' '.repeat(INDENT)}→ ${next}`]),
  ]
}
