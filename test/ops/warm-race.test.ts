// Rows are updated and invalidated while they are warmed: afterwards no entry may be older than its row. The naive writers of the
// same run stay here as mutants: a test that does not catch them proves nothing.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openControl } from '../../src/adapters/redis/control.ts'
import { openStore } from '../../src/adapters/redis/store.ts'
import { decodeEntry } from '../../src/core/entry.ts'
import { warm } from '../../src/ops/warm.ts'
import { planWarm } from '../../src/ops/warm-plan.ts'
import type { BulkLane, Control, Id, Lane, Source, SourceRow, Store } from '../../src/ports.ts'
import { invalidateEntries } from '../other-program.ts'
import { aConfig, aModel } from '../resolved.ts'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'

const ROWS = 10_000
const PAGE = 100

let redis: TestRedis
let store: Store

beforeAll(async () => {
  redis = await startRedis()
  store = openStore(
    { url: redis.url, from: 'the test', tls: null },
    { connectTimeoutMs: 5_000, replyTimeoutMs: 10_000 },
  )
})
afterAll(async () => {
  await store.close()
  await redis.stop()
})

/** A database of counters: reading takes a while between the moment of the read and the moment the rows arrive. */
function counters(random: () => number) {
  const values = new Map<number, number>(Array.from({ length: ROWS }, (_, id) => [id, 0]))
  let lastRead = 0
  const read = async (ids: readonly number[]): Promise<SourceRow[]> => {
    const rows = ids.map((id) => ({ id, row: { id, n: values.get(id) }, version: null, tenant: null }))
    await new Promise((resolve) => setTimeout(resolve, random() * 8))
    return rows
  }
  const pages = Array.from({ length: ROWS / PAGE }, (_, page) =>
    Array.from({ length: PAGE }, (_, index) => page * PAGE + index),
  )
  const load = (ids: readonly Id[]) => read(ids.map(Number))
  const paged: Source = {
    kind: 'counters',
    reads: 'page',
    strategies: ['all'],
    async *select() {
      for (const page of pages) {
        lastRead = page[0] ?? 0
        yield read(page)
      }
    },
    load,
  }
  /** Reads far ahead of what it gives, as a database stream does. */
  const stream: Source = {
    ...paged,
    reads: 'stream',
    async *select() {
      const ahead = await Promise.all(pages.map(read))
      for (const page of ahead) {
        await new Promise((resolve) => setTimeout(resolve, random() * 8))
        lastRead += PAGE
        yield page
      }
    },
  }
  /** Mostly rows that are being read at this moment: where the race is. */
  const pick = () =>
    Math.min(ROWS - 1, random() < 0.8 ? lastRead + Math.floor(random() * PAGE) : Math.floor(random() * ROWS))
  return { paged, stream, values, pick, position: () => lastRead }
}

/** The writer that most warmers are: SET, or SET NX, of what was read a while ago. */
function naive(control: Control, nx: boolean): Control {
  const bulk = async (): Promise<BulkLane> => {
    const guarded = await control.bulk()
    const [master] = await store.masters()
    const lane = (await master?.lane()) as Lane
    return {
      ...guarded,
      async commit(writes) {
        const page = lane.page()
        for (const { key, value, ttlMs } of writes) page.add('SET', key, value, 'PX', ttlMs ?? 1, ...(nx ? ['NX'] : []))
        await lane.run(page)
        return writes.map(() => 'written' as const)
      },
    }
  }
  return { ...control, bulk }
}

async function staleAfterWarm(
  control: Control,
  choose: (sources: { paged: Source; stream: Source }) => Source,
  writeUntil = ROWS,
): Promise<{ stale: number; updates: number; exitCode: number }> {
  await redis.call('FLUSHALL')
  const random = randomFromSeed(seed)
  const { values, pick, position, ...sources } = counters(random)
  const config = aConfig(redis.url, [aModel('counter', choose(sources))])
  const context = {
    config,
    store,
    clock: { now: Date.now },
    random,
    emit: () => undefined,
    signal: new AbortController().signal,
    stateDir: null,
  }
  let running = true
  let updates = 0
  const write = async () => {
    while (running && position() < writeUntil) {
      const id = pick()
      values.set(id, (values.get(id) ?? 0) + 1)
      updates++
      await invalidateEntries(store, 'counter', [`shop:v1:detail:counter:${id}`])
    }
  }
  const writers = Promise.all(Array.from({ length: 4 }, write))
  const options = { targets: [], concurrency: 4, batch: PAGE, ifLocked: 'fail' as const, dryRun: false }
  const report = await warm(context, control, planWarm(config, options, 0), options)
  running = false
  await writers
  let stale = 0
  for (let id = 0; id < ROWS; id++) {
    const bytes = await store.call('GET', `shop:v1:detail:counter:${id}`)
    if (!Buffer.isBuffer(bytes)) continue
    const entry = decodeEntry(bytes)
    if (!entry.ok || (entry.value as { n: number }).n !== values.get(id)) stale++
  }
  const { selected, written, failed, skipped } = report.totals
  expect(selected).toBe(ROWS)
  expect(written + failed + skipped.present + skipped.newer + skipped.invalidated).toBe(ROWS)
  return { stale, updates, exitCode: report.exitCode }
}

describe(`warming while rows are updated and invalidated (SEED=${seed})`, () => {
  for (const kind of ['paged', 'stream'] as const) {
    it(`leaves nothing stale, from a ${kind} source`, async () => {
      const { stale, updates, exitCode } = await staleAfterWarm(
        openControl(store, 'shop'),
        (sources) => sources[kind],
        kind === 'paged' ? ROWS : ROWS / 2,
      )
      expect(updates).toBeGreaterThan(50)
      expect({ stale, exitCode }).toEqual({ stale: 0, exitCode: 0 })
    })
  }

  it('catches the naive writer: SET', async () => {
    const { stale } = await staleAfterWarm(naive(openControl(store, 'shop'), false), ({ paged }) => paged)
    expect(stale).toBeGreaterThan(0)
  })

  it('catches the naive writer: SET NX', async () => {
    const { stale } = await staleAfterWarm(naive(openControl(store, 'shop'), true), ({ paged }) => paged)
    expect(stale).toBeGreaterThan(0)
  })

  it('catches the guard that is captured for each page of a stream, when the stream has read it long before', async () => {
    const { stale } = await staleAfterWarm(
      openControl(store, 'shop'),
      ({ stream }) => ({ ...stream, reads: 'page' }),
      ROWS / 2,
    )
    expect(stale).toBeGreaterThan(0)
  })
})
