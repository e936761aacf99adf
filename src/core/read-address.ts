// Whether a read would look under a key at all: keys of others, of other versions, of generations that are over, and what may have been meant instead.
import { freshness } from './freshness.ts'
import type { ReadFacts, ReadOutcome, ReadReason, ReadVerdict } from './read-verdict.ts'
import { shellWord } from './shell-word.ts'

/** Keys that the library never reads as entries. */
export function explainStranger({
  control,
  hasConfig,
  place,
  raw,
  exists,
  header,
  nowMs,
  near,
}: ReadFacts): ReadVerdict | null {
  const there = exists ? 'The key is there' : 'There is no such key'
  if (control) return verdict('foreign', 'control-data', [`${there}: it is control data of cachectl, not an entry.`])
  if (raw)
    return verdict('foreign', 'raw', [
      `${there}. Other software writes ${exists ? 'it' : 'such keys'} (\`format: 'raw'\`): cachectl measures and clears them, and never reads them as entries.`,
    ])
  if (hasConfig && place === null) {
    const [meant] = near
    return verdict(
      'foreign',
      'not-an-entry',
      [`${there}. By its name it is no entry of this config: the library never reads it.`, ...nearSentences(near)],
      meant === undefined ? 'cachectl stats --by pattern' : why(meant.key),
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
export function explainAddress(facts: ReadFacts): ReadVerdict | null {
  const { currentKey, currentExists, declared, ended, exists, place, version, near } = facts
  const there = exists ? 'The key is there, but' : 'There is no such key, and'
  if (!declared)
    return verdict(
      'miss',
      'undeclared',
      [`${there} the config has no ${place}: nothing of this config reads it.`, ...nearSentences(near)],
      near[0] === undefined ? 'cachectl config show' : why(near[0].key),
    )
  const under = `under ${currentKey}, which is ${currentExists ? 'there' : 'not there'}`
  const elsewhere = currentExists ? why(currentKey ?? '') : null
  if (version !== null && version.version !== version.current) {
    return verdict(
      'miss',
      'other-version',
      [
        `${there} it is of version v${version.version}; the config is at v${version.current}, and reads only that, ${under}.`,
        versionSentence(version),
      ],
      elsewhere ?? warmCommand(facts),
    )
  }
  if (currentKey === null) return null
  return verdict(
    'miss',
    'outdated-generation',
    [`${there} its generation is over: ${ended.map(endedText).join(', and ')}. A read looks ${under}.`],
    elsewhere ?? warmCommand(facts),
  )
}

function why(key: string): string {
  return `cachectl why ${shellWord(key)}`
}

function versionSentence({ version, registeredSince, live }: NonNullable<ReadFacts['version']>): string {
  if (live) return `Processes of v${version} still run, and read it.`
  return registeredSince === null
    ? `No code of v${version} is registered: it is left over.`
    : `Code of v${version} has been registered since ${shortTime(registeredSince)}; whether any of it still runs is not known.`
}

function endedText({ scope, tenant, endedAt, by }: ReadFacts['ended'][number]): string {
  const of = tenant === null || scope === `tenant:${tenant}` ? '' : ` of tenant ${tenant}`
  const when = endedAt === null ? ' (when and by whom is not recorded)' : ` at ${shortTime(endedAt)} by ${by}`
  return `${scope}${of} was bumped${when}`
}

function shortTime(iso: string): string {
  return iso.replace(/\.\d+Z$/, 'Z')
}

/** What is there is told by the report; what is not there either may be what was meant all the same. */
export function nearSentences(near: ReadFacts['near']): string[] {
  if (near.some(({ exists }) => exists)) return []
  return near.slice(0, 1).map(({ key, how }) => `Perhaps ${key} is meant (${how}), which is not there either.`)
}

/** Of what only code reads, nothing can be warmed. */
export function warmCommand({ ofCode, place }: Pick<ReadFacts, 'ofCode' | 'place'>): string | null {
  return ofCode ? null : `cachectl warm ${place?.split(':')[1] ?? ''}`.trim()
}

export function verdict(
  outcome: ReadOutcome,
  reason: ReadReason,
  sentences: string[],
  next: string | null = null,
): ReadVerdict {
  return { outcome, reason, sentences, next }
}
