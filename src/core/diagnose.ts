// What is wrong with a cache, by one table: the documentation prints it, `stats` and `doctor` judge by it. Thresholds stand in it and nowhere else.
import { ENTRY_RULES } from './findings/entry-rules.ts'
import type { Facts } from './findings/facts.ts'
import { KEY_RULES } from './findings/key-rules.ts'
import { MEMORY_RULES } from './findings/memory-rules.ts'
import type { Rule, Severity } from './findings/rule.ts'
import { SERVER_RULES } from './findings/server-rules.ts'

export type { ConfigFacts, Facts } from './findings/facts.ts'
export type { Rule, Severity } from './findings/rule.ts'

export interface Finding {
  id: string
  severity: Severity
  /** the figures that it was found by */
  evidence: string
  advice: string
  /** what to type next; null where there is nothing to type */
  next: string | null
}

export interface Health {
  status: 'healthy' | 'warning' | 'critical'
  findings: Finding[]
}

export const FINDINGS: readonly Rule[] = [...SERVER_RULES, ...MEMORY_RULES, ...KEY_RULES, ...ENTRY_RULES]

/** Everything that the table finds in these facts, worst first. */
export function diagnose(facts: Facts): Health {
  const findings = FINDINGS.flatMap((rule) => judge(rule, facts) ?? [])
  const rank: Record<Severity, number> = { critical: 0, warning: 1, info: 2 }
  findings.sort((a, b) => rank[a.severity] - rank[b.severity])
  const worst = findings[0]?.severity
  return { status: worst === undefined || worst === 'info' ? 'healthy' : worst, findings }
}

function judge({ id, severity, advice, next, find }: Rule, facts: Facts): Finding | null {
  const found = find(facts)
  if (found === null) return null
  return typeof found === 'string'
    ? { id, severity, evidence: found, advice, next }
    : { id, severity, evidence: found.evidence, advice, next: found.next }
}
