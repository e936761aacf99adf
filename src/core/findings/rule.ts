// A rule: what is found, when, how bad it is, what to do. The documentation prints the rules, `stats` and `doctor` judge by them.
import { formatCount } from '../units.ts'
import type { CheckId, Trouble } from './checks.ts'
import type { Facts, GroupKeys } from './facts.ts'

export type Severity = 'info' | 'warning' | 'critical'

export interface Rule {
  id: string
  severity: Severity
  /** what was looked at to find it */
  check: CheckId
  /** which troubles it may be behind */
  troubles: readonly Trouble[]
  /** when it is found, for people */
  threshold: string
  advice: string
  /** what to type next; null where there is nothing to type. `<…>` is filled in where the facts say with what. */
  next: string | null
  /** the evidence, with a next command of its own where it is known better; null where there is nothing to find */
  find(facts: Facts): string | { evidence: string; next: string } | null
}

/** `3 in list:*, 2 in detail:*` */
export function groupsText(groups: readonly GroupKeys[]): string {
  return listed(groups.map(({ group, keys }) => `${formatCount(keys)} in ${group}`))
}

export function listed(items: readonly string[], most = 5): string {
  const shown = items.slice(0, most).join(', ')
  return items.length > most ? `${shown} and ${formatCount(items.length - most)} more` : shown
}
