// What a read of a key would do now, and why: one decision, in an order, said in plain sentences.
import type { EntryHeader, HeaderFailure } from './entry-header.ts'
import { formatDuration } from './units.ts'

export type ReadOutcome = 'fresh' | 'stale' | 'miss' | 'foreign'

export interface ReadVerdict {
  outcome: ReadOutcome
  reason:
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
  sentences: string[]
  /** what to type next; null where there is nothing to do */
  next: string | null
}

export interface ReadFacts {
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
  keyVersion: string | null
  configVersion: string | null
}

export function explainRead(facts: ReadFacts): ReadVerdict {
  return explainStranger(facts) ?? explainAddress(facts) ?? withReader(facts, explainEntry(facts))
}

/** Of what code reads, the config cannot say whether any does. */
function withReader({ ofCode, place }: ReadFacts, read: ReadVerdict): ReadVerdict {
  if (!ofCode) return read
  return {
    ...read,
    sentences: [...read.sentences, `${place} is no model of the config: what reads it is in the application's code.`],
  }
}

/** Keys that the library never reads as entries. */
function explainStranger({ control, hasConfig, place, raw, exists, header, nowMs }: ReadFacts): ReadVerdict | null {
  const there = exists ? 'The key is there' : 'There is no such key'
  if (control) return verdict('foreign', 'control-data', [`${there}: it is control data of cachectl, not an entry.`])
  if (raw)
    return verdict('foreign', 'raw', [
      `${there}. Other software writes it (\`format: 'raw'\`): cachectl measures and clears it, and never reads it.`,
    ])
  if (hasConfig && place === null) {
    return verdict(
      'foreign',
      'not-an-entry',
      [`${there}. By its name it is no entry of this config: the library never reads it.`],
      'cachectl stats --by pattern',
    )
  }
  if (hasConfig) return null
  const envelope = header === null ? [] : [`Its envelope is that of an entry. ${freshness(header, nowMs).sentence}`]
  return verdict(
    'foreign',
    'no-config',
    [`${there}.`, ...envelope, 'Without a config nothing can be said of what reads it.'],
    'cachectl init',
  )
}

/** Whether a read would look here at all. */
function explainAddress({
  configVersion,
  currentKey,
  declared,
  exists,
  keyVersion,
  place,
}: ReadFacts): ReadVerdict | null {
  const there = exists ? 'The key is there, but' : 'There is no such key, and'
  if (!declared)
    return verdict(
      'miss',
      'undeclared',
      [`${there} the config has no ${place}: nothing of this config reads it.`],
      'cachectl config show',
    )
  if (keyVersion !== configVersion) {
    return verdict(
      'miss',
      'other-version',
      [`${there} it is of version v${keyVersion}; the config is at v${configVersion}, and reads only that.`],
      'cachectl warm',
    )
  }
  if (currentKey !== null) {
    return verdict(
      'miss',
      'outdated-generation',
      [`${there} a read looks elsewhere since the last bump: under ${currentKey}.`],
      `cachectl why '${currentKey}'`,
    )
  }
  return null
}

function explainEntry(facts: ReadFacts): ReadVerdict {
  const { exists, header, headerFailure, incarnation, invalidations, ofCode, place, type } = facts
  const warm = ofCode ? null : `cachectl warm ${place?.split(':')[1] ?? ''}`.trim()
  if (!exists)
    return verdict(
      'miss',
      'absent',
      [`There is no such key: a read of ${place} is a miss and loads from the source.`],
      warm,
    )
  if (type !== 'string')
    return verdict('miss', 'wrong-type', [`The key holds a ${type}, not an entry: a read is a miss.`], warm)
  if (header === null) {
    const why =
      headerFailure === 'foreign'
        ? 'it is no entry of cachectl: other software wrote it'
        : `its header cannot be read (${headerFailure})`
    return verdict('miss', 'undecodable', [`The key is there, but ${why}. A read is a miss and replaces it.`], warm)
  }
  if (incarnation === null) {
    return verdict(
      'miss',
      'no-control-data',
      ['The entry is there, but the control data that vouches for it is gone (flushed or evicted): a read is a miss.'],
      warm,
    )
  }
  if (header.incarnation !== incarnation) {
    return verdict(
      'miss',
      'other-incarnation',
      ['The entry is from before the control data was lost: it may be outdated, so a read is a miss.'],
      warm,
    )
  }
  if (invalidations.length > 0) {
    const sentence = `The entry is there, but since it was loaded ${invalidations.join(', and ')}: a read is a miss.`
    return verdict('miss', 'invalidated', [sentence], warm)
  }
  const { outcome, reason, sentence } = freshness(header, facts.nowMs)
  return verdict(outcome, reason, [sentence], outcome === 'fresh' ? null : warm)
}

function freshness(
  header: EntryHeader,
  nowMs: number,
): { outcome: ReadOutcome; reason: ReadVerdict['reason']; sentence: string } {
  const age = formatDuration(Math.max(0, nowMs - header.createdAtMs))
  if (header.freshUntilMs === null)
    return {
      outcome: 'fresh',
      reason: 'never-stale',
      sentence: `A read is a hit: written ${age} ago, and never stale.`,
    }
  const leftMs = header.freshUntilMs - nowMs
  if (leftMs > 0)
    return {
      outcome: 'fresh',
      reason: 'fresh',
      sentence: `A read is a hit: written ${age} ago, fresh for another ${formatDuration(leftMs)}.`,
    }
  const graceMs = leftMs + header.graceMs
  if (graceMs > 0) {
    return {
      outcome: 'stale',
      reason: 'within-grace',
      sentence: `A read gives it as stale and loads anew behind it: written ${age} ago, fresh until ${formatDuration(-leftMs)} ago, given for another ${formatDuration(graceMs)}.`,
    }
  }
  return {
    outcome: 'miss',
    reason: 'expired',
    sentence: `A read is a miss: written ${age} ago, its time and its grace are over since ${formatDuration(-graceMs)}.`,
  }
}

function verdict(
  outcome: ReadOutcome,
  reason: ReadVerdict['reason'],
  sentences: string[],
  next: string | null = null,
): ReadVerdict {
  return { outcome, reason, sentences, next }
}
