// Entries whose idle time, frequency and TTL are as a test wants them, and `evict` run on them.
import { isBalanced } from '../../src/core/account.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import { executeEvict } from '../../src/ops/evict.ts'
import { type EvictOptions, type EvictPlan, planEvict } from '../../src/ops/evict-plan.ts'
import type { EvictReport } from '../../src/ops/evict-report.ts'
import type { Lane, Store } from '../../src/ports.ts'
import { testConfig } from './fixture.ts'

export interface Entry {
  key: string | Buffer
  /** bytes of the value */
  bytes?: number
  idleSeconds?: number
  frequency?: number
  ttlMs?: number
}

/** RESTORE can say how long a key has been idle, or how often it was used. */
export async function restore(store: Store, entries: Iterable<Entry>): Promise<void> {
  const lane: Lane = await store.lane()
  const dumps = new Map<number, Buffer>()
  const dumpOf = async (bytes: number) => {
    await store.call('SET', 'a text to dump', 'v'.repeat(bytes))
    const dumped = (await store.call('DUMP', 'a text to dump')) as Buffer
    await store.call('UNLINK', 'a text to dump')
    dumps.set(bytes, dumped)
    return dumped
  }
  let page = lane.page()
  const flush = async () => {
    const replies = await lane.run(page)
    const bad = replies.find((reply) => reply !== 'OK' && String(reply) !== 'OK')
    if (bad !== undefined) throw new Error(JSON.stringify(bad))
    page = lane.page()
  }
  for (const { key, bytes = 8, idleSeconds, frequency, ttlMs } of entries) {
    page.add(
      ...['RESTORE', key, ttlMs ?? 0, dumps.get(bytes) ?? (await dumpOf(bytes)), 'REPLACE'],
      ...(idleSeconds === undefined ? [] : ['IDLETIME', idleSeconds]),
      ...(frequency === undefined ? [] : ['FREQ', frequency]),
    )
    if (page.length >= 2000) await flush()
  }
  if (page.length > 0) await flush()
  lane.close()
}

const DEFAULTS: EvictOptions = {
  targets: [],
  tenant: null,
  foreign: false,
  allTenants: false,
  policy: null,
  limits: null,
  share: 1,
  mode: 'evict',
}

export function plan(context: OperationContext, given: Partial<EvictOptions> = {}): Promise<EvictPlan> {
  return planEvict(context, { ...DEFAULTS, ...given })
}

/** Also checks that the report balances. */
export async function evict(context: OperationContext, given: Partial<EvictOptions> = {}): Promise<EvictReport> {
  return execute(context, await plan(context, given))
}

export async function execute(context: OperationContext, planned: EvictPlan): Promise<EvictReport> {
  const report = await executeEvict(context, planned, { pace: 'max' })
  const { matched, deleted, outdated, alreadyGone, protected: spared, failed, unknown, remaining } = report
  const account = { matched, deleted, outdated, alreadyGone, protected: spared, failed, unknown, remaining }
  if (!isBalanced(account)) throw new Error(`the report does not balance: ${JSON.stringify(account)}`)
  return report
}

export function budgets(url: string, namespaces: Record<string, object>, more: Record<string, unknown> = {}) {
  const named = Object.entries(namespaces).map(([name, budget]) => [name, { ttl: '1h', budget }])
  return testConfig(url, {
    namespaces: {
      detail: { ttl: '1h' },
      list: { ttl: '5m' },
      count: { ttl: '1m' },
      ...Object.fromEntries(named),
    },
    ...more,
  })
}

export const keyOf = (namespace: string, id: number | string) => `shop:v1:${namespace}:product:${id}`

/** Every key of the server, as latin1 text. */
export async function keysOf(call: (...args: (string | number)[]) => Promise<unknown>): Promise<Set<string>> {
  const found = new Set<string>()
  let cursor = '0'
  do {
    const [next, keys] = (await call('SCAN', cursor, 'COUNT', 10_000)) as [Buffer | string, (Buffer | string)[]]
    cursor = String(next)
    for (const key of keys) found.add(Buffer.isBuffer(key) ? key.toString('latin1') : key)
  } while (cursor !== '0')
  return found
}
