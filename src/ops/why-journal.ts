// Which runs of the journal were aimed at a key: what each says that it was about is read as the target that it is.
import type { ResolvedConfig } from '../config/resolved.ts'
import type { EntryHeader } from '../core/entry.ts'
import { createKeys, type ParsedKey, stampName } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import { matchesTarget, parseTarget, type Target, type TargetKey } from '../core/target.ts'
import type { OperationContext } from './context.ts'
import { type HistoryEntry, journalOf } from './journal-read.ts'
import { rawReader } from './wanted-keys.ts'

/** Of the last runs; more of them are in `history`. */
const MOST_ENTRIES = 5

/** Last begun first. */
export async function journalOfKey(
  context: OperationContext,
  config: ResolvedConfig,
  bytes: Buffer,
  parsed: ParsedKey | null,
  header: EntryHeader | null,
): Promise<HistoryEntry[]> {
  const plain =
    parsed === null ? null : createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel }).plain(parsed)
  const key: TargetKey = { bytes, parsed, plain, raw: parsed === null ? rawReader(config)(bytes) : null }
  const prefix = Buffer.from(`${config.prefix}:`)
  const ofPrefix = bytes.subarray(0, prefix.length).equals(prefix)
  const touches = (text: string): boolean => {
    if (text === 'all' || text === 'global') return ofPrefix
    const target = targetOf(text, config)
    return target !== null && isAimedAt(target, key, header)
  }
  const tenant = parsed?.tenant ?? null
  return journalOf(context, ({ what }) => isOfTenant(what, tenant) && what.some(touches), MOST_ENTRIES)
}

/** Runs for one tenant say so: `--tenant 7`, and warm `model:product of 7 (recent)`. */
function isOfTenant(what: readonly string[], tenant: string | null): boolean {
  const named = what.flatMap(
    (text) => /^--tenant (.*)$/.exec(text)?.[1] ?? / of (.*) \([a-z]+\)$/.exec(text)?.[1] ?? [],
  )
  return named.length === 0 || (tenant !== null && named.includes(printable(tenant)))
}

function isAimedAt(target: Target, key: TargetKey, header: EntryHeader | null): boolean {
  if (target.kind !== 'tag') return matchesTarget(target, key)
  const held = new Set(header?.tags.map(({ tag }) => tag))
  const tenant = key.parsed?.tenant ?? null
  return [null, tenant].some((of) => held.has(stampName('tag', target.tag, of)))
}

/** `model:product of 7 (recent)`, as warm says it, is the model. Null: it says something else. */
function targetOf(text: string, config: ResolvedConfig): Target | null {
  for (const words of [text, text.replace(/ \([a-z]+\)$/, '').replace(/ of .*$/, '')]) {
    try {
      return parseTarget(words, config)
    } catch {
      // No target: what else a run says of itself.
    }
  }
  return null
}
