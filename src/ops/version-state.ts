// What Redis knows of versions and generations: the control hash, the records of bumps, the versions of processes that live.
import { readProcesses } from '../cache/processes.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import { type CodeVersion, codeVersionsIn } from '../core/code-version.ts'
import { CachectlError } from '../core/errors.ts'
import { type GenerationRecord, readRecords } from '../core/generation-record.ts'
import { bumpsKey, type Generations, generationsKey, readGenerations } from '../core/key.ts'
import { replyPairs } from '../core/reply.ts'
import type { Store } from '../ports.ts'
import type { OperationContext } from './context.ts'

export interface ControlFields {
  fields: ReadonlyMap<string, string>
  /** null: there is no control data, so no entry is good */
  incarnation: string | null
  generations: Generations
  versions: readonly CodeVersion[]
}

export interface VersionState extends ControlFields {
  /** ms since 1970 by the clock of the server; that of this machine where it does not tell */
  nowMs: number
  /** by field of the scope, newest first */
  records: ReadonlyMap<string, readonly GenerationRecord[]>
  /** versions of processes that hold entries in their memory, and were seen lately */
  live: ReadonlySet<string>
}

/** Those without L1 are not in the registry, and need no heartbeat. */
const HEARTBEAT_MS = 5_000

/** Without making anything of what is missing. @throws CachectlError */
export async function readControl(store: Store, prefix: string): Promise<ControlFields> {
  const fields = replyPairs(await store.call('HGETALL', generationsKey(prefix)))
  return { fields, ...readGenerations(fields), versions: codeVersionsIn(fields) }
}

/** @throws CachectlError */
export async function readVersionState({ store, clock }: OperationContext, prefix: string): Promise<VersionState> {
  const [control, lines, processes] = await Promise.all([
    readControl(store, prefix),
    // A key of another type in its place is overwritten by the next bump.
    store.call('HGETALL', bumpsKey(prefix)).catch(ignoreWrongType),
    readProcesses((...args) => store.call(...args), prefix, HEARTBEAT_MS),
  ])
  const records = new Map([...replyPairs(lines)].map(([field, text]) => [field, readRecords(text)]))
  const live = new Set(processes.live.flatMap(({ versions }) => versions))
  return { ...control, records, live, nowMs: processes.nowMs > 0 ? processes.nowMs : clock.now() }
}

function ignoreWrongType(error: unknown): null {
  if (error instanceof CachectlError && error.message.includes('WRONGTYPE')) return null
  throw error
}

/** @throws CachectlError CONFIG_NOT_FOUND */
export function requireConfig({ config }: Pick<OperationContext, 'config'>): ResolvedConfig {
  if (config !== null) return config
  throw new CachectlError('CONFIG_NOT_FOUND', 'there is no cache.config.* here or above: it says what has versions')
}
