// What a read of a key would do now, and why: one decision, in an order, said in plain sentences.
import type { EntryHeader, HeaderFailure } from './entry-header.ts'
import type { ConfiguredLife } from './expiry.ts'
import { freshness } from './freshness.ts'
import { explainAddress, explainStranger, nearSentences, verdict, warmCommand } from './read-address.ts'
import { shellWord } from './shell-word.ts'
import { formatDuration, formatPercent } from './units.ts'

export type ReadOutcome = 'fresh' | 'stale' | 'miss' | 'foreign'

export type ReadReason =
  | 'fresh'
  | 'never-stale'
  | 'within-grace'
  | 'absent'
  | 'expired'
  | 'undecodable'
  | 'wrong-type'
  | 'other-incarnation'
  | 'invalidated'
  | 'no-control-data'
  | 'outdated-generation'
  | 'other-version'
  | 'undeclared'
  | 'raw'
  | 'control-data'
  | 'not-an-entry'
  | 'no-config'

export interface ReadVerdict {
  outcome: ReadOutcome
  reason: ReadReason
  sentences: string[]
  /** what to type next; null where there is nothing to do */
  next: string | null
}

export interface ReadFacts {
  /** escaped */
  key: string
  exists: boolean
  /** of Redis */
  type: string | null
  header: EntryHeader | null
  headerFailure: HeaderFailure | null
  nowMs: number
  hasConfig: boolean
  control: boolean
  raw: boolean
  /** its namespace and subject, or its namespace alone, where only the application's code knows its subjects */
  declared: boolean
  /** of functions, routes, fragments and direct calls: no model of the config */
  ofCode: boolean
  /** what was invalidated since the entry was loaded, in words: `a row of category was invalidated` */
  invalidations: readonly string[]
  /** `detail:product`; null: no key of the config's scheme */
  place: string | null
  /** that of the control data now; null: there is none */
  incarnation: string | null
  /** the key under which a read would look, where that is another one */
  currentKey: string | null
  currentExists: boolean
  /** generations of the key that are over: of which scope, and when and by whom they were ended, where that is recorded */
  ended: readonly { scope: string; tenant: string | null; endedAt: string | null; by: string | null }[]
  /** null: no key of the config's scheme */
  version: { version: string; current: string; registeredSince: string | null; live: boolean } | null
  /** of the load that is under way */
  lease: { expiresInMs: number | null } | null
  /** that this read of a fresh entry makes it anew */
  refreshChance: number
  /** null: no TTL, or no key */
  ttlMs: number | null
  life: ConfiguredLife
  /** its model names entries by a `key` of their rows */
  keyedByRow: boolean
  /** what is there in its place, the likeliest first */
  near: readonly { key: string; how: string; exists: boolean }[]
}

export function explainRead(facts: ReadFacts): ReadVerdict {
  const stranger = explainStranger(facts)
  if (stranger !== null) return withLife(facts, stranger)
  const read = explainAddress(facts) ?? withLoading(facts, explainEntry(facts))
  return withLife(facts, withReader(facts, read))
}

/** Of what code reads, the config cannot say whether any does. */
function withReader({ ofCode, place }: ReadFacts, read: ReadVerdict): ReadVerdict {
  const addressed =
    read.reason === 'undeclared' || read.reason === 'other-version' || read.reason === 'outdated-generation'
  return !ofCode || addressed
    ? read
    : more(read, `${place} is no model of the config: what reads it is in the application's code.`)
}

/** Who loads it, and who may soon. */
function withLoading({ lease, refreshChance, header }: ReadFacts, read: ReadVerdict): ReadVerdict {
  if (lease !== null) {
    const lapses =
      lease.expiresInMs === null
        ? ''
        : `, whose lease lapses in ${formatDuration(lease.expiresInMs)} unless it is renewed`
    const others = read.outcome === 'miss' ? 'Other readers wait for it.' : 'Readers are given what is there meanwhile.'
    return more(read, `A load of it is under way${lapses}. ${others}`)
  }
  if (read.reason !== 'fresh' || refreshChance < 0.0001) return read
  const took = formatDuration(header?.deltaMs ?? 0)
  return more(
    read,
    `It took ${took} to make: ${formatPercent(refreshChance)} of reads make it anew now, before its end.`,
  )
}

/** A TTL that is not as the config says. */
function withLife({ exists, life, ttlMs, key }: ReadFacts, read: ReadVerdict): ReadVerdict {
  if (!exists || life.kind !== 'time') return read
  const longestMs = life.ttlMs + life.graceMs
  const says = `the config gives it ${formatDuration(longestMs)}`
  // Clocks and roundings.
  if (ttlMs !== null && ttlMs <= longestMs * 1.01 + 1000) return read
  const sentence =
    ttlMs === null
      ? `It has no TTL; ${says}.`
      : `Its TTL is longer than ${says.replace('the config gives it', 'the config says,')}.`
  return { ...more(read, sentence), next: read.next ?? `cachectl expire ${shellWord(`key:${key}`)} --from-config` }
}

function more(read: ReadVerdict, sentence: string): ReadVerdict {
  return { ...read, sentences: [...read.sentences, sentence] }
}

function explainEntry(facts: ReadFacts): ReadVerdict {
  const { exists, header, headerFailure, incarnation, invalidations, place, type, near, keyedByRow } = facts
  const warm = warmCommand(facts)
  const miss = (reason: ReadReason, sentence: string): ReadVerdict => verdict('miss', reason, [sentence], warm)
  if (!exists) {
    const absent = miss('absent', `There is no such key: a read of ${place} is a miss and loads from the source.`)
    const keyed = keyedByRow ? ['Its model names entries by a `key` of their rows, which need not be the id.'] : []
    return { ...absent, sentences: [...absent.sentences, ...keyed, ...nearSentences(near)] }
  }
  if (type !== 'string') return miss('wrong-type', `The key holds a ${type}, not an entry: a read is a miss.`)
  if (header === null) {
    const why =
      headerFailure === 'foreign'
        ? 'it is no entry of cachectl: other software wrote it'
        : `its header cannot be read (${headerFailure})`
    return miss('undecodable', `The key is there, but ${why}. A read is a miss and replaces it.`)
  }
  if (incarnation === null)
    return miss(
      'no-control-data',
      'The entry is there, but the control data that vouches for it is gone (flushed or evicted): a read is a miss.',
    )
  if (header.incarnation !== incarnation)
    return miss(
      'other-incarnation',
      'The entry is from before the control data was lost (a flush, an eviction, a failover): it may be outdated, so a read is a miss.',
    )
  if (invalidations.length > 0)
    return miss(
      'invalidated',
      `The entry is there, but since it was loaded ${invalidations.join(', and ')}: a read is a miss.`,
    )
  const { outcome, reason, sentence } = freshness(header, facts.nowMs)
  return verdict(outcome, reason, [sentence], outcome === 'fresh' ? null : warm)
}
