// What warm must not do between two of its steps: each case was a real fault once, and is steered to the very moment.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openControl } from '../../src/adapters/redis/control.ts'
import { openStore } from '../../src/adapters/redis/store.ts'
import { fn } from '../../src/adapters/sources/fn.ts'
import type { ResolvedModel } from '../../src/config/resolved.ts'
import { decodeEntry, encodeEntry } from '../../src/core/entry.ts'
import { stampKey } from '../../src/core/key.ts'
import { warm } from '../../src/ops/warm.ts'
import { planWarm, type WarmOptions } from '../../src/ops/warm-plan.ts'
import type { Control, Row, Source, SourceRow, Store } from '../../src/ports.ts'
import { invalidateEntries } from '../other-program.ts'
import { aConfig, aModel } from '../resolved.ts'
import { startRedis, type TestRedis } from '../servers.ts'

let redis: TestRedis
let store: Store
let control: Control

beforeAll(async () => {
  redis = await startRedis({ port: 0 })
  store = openStore({ url: redis.url, from: 'the test', tls: null }, { connectTimeoutMs: 5_000, replyTimeoutMs: 5_000 })
  control = openControl(store, 'shop')
})
afterAll(async () => {
  await store.close()
  await redis.stop()
})
beforeEach(() => redis.call('FLUSHALL'))

const KEY = 'shop:v1:detail:note:1'

async function run(
  models: ResolvedModel[],
  given: Partial<WarmOptions> = {},
  over: { store: Store; control: Control } = { store, control },
) {
  const config = aConfig(redis.url, models)
  const options: WarmOptions = { targets: [], concurrency: 1, batch: 100, ifLocked: 'fail', dryRun: false, ...given }
  const context = {
    config,
    store: over.store,
    clock: { now: Date.now },
    random: Math.random,
    emit: () => undefined,
    signal: new AbortController().signal,
    stateDir: null,
  }
  const report = await warm(context, over.control, planWarm(config, options, Date.now()), options)
  for (const { selected, written, failed, skipped } of report.models)
    expect(written + failed + skipped.present + skipped.newer + skipped.invalidated + skipped.absent).toBe(selected)
  return report
}

const row = (id: number, fields: Row = {}, version: string | null = null, tenant: string | null = null): SourceRow => ({
  id,
  row: { id, ...fields },
  version,
  tenant,
})

/** Rows in pages that are read when they are asked for; `load` gives the same rows by id. */
function source(rows: () => SourceRow[], more: Partial<Source> = {}): Source {
  return {
    kind: 'test',
    reads: 'page',
    strategies: ['all', 'ids'],
    async *select({ ids }) {
      yield rows().filter(({ id }) => !ids || ids.map(String).includes(String(id)))
    },
    load: async (ids) => rows().filter(({ id }) => ids.map(String).includes(String(id))),
    ...more,
  }
}

async function cachedAt(key: string): Promise<unknown> {
  const bytes = await store.call('GET', key)
  const entry = Buffer.isBuffer(bytes) ? decodeEntry(bytes) : null
  return entry?.ok ? entry.value : null
}

async function put(
  key: string,
  value: unknown,
  given: { sourceVersion?: string; tags?: number } = {},
): Promise<string[]> {
  const { incarnation } = await control.read()
  const tags = Array.from({ length: given.tags ?? 0 }, (_, tag) => ({
    tag: `organisation:${tag}:with-a-long-name`,
    stamp: 'stampstampstamp',
  }))
  const meta = {
    incarnation,
    createdAtMs: Date.now(),
    freshUntilMs: Date.now() + 60_000,
    graceMs: 0,
    deltaMs: 1,
    writer: 'app',
    tags,
    compressAboveBytes: null,
  }
  for (const { tag, stamp } of tags) await store.call('SET', stampKey('shop', tag), stamp)
  await store.call('SET', key, encodeEntry(value, { ...meta, sourceVersion: given.sourceVersion ?? null }))
  return tags.map(({ tag }) => tag)
}

describe('warm, between two of its steps', () => {
  it('does not bring back a joined row that is invalidated while rows are loaded again under leases', async () => {
    const country = { name: 'old' }
    let loads = 0
    const countries = source(() => [row(7, { name: country.name })], {
      async load() {
        const loaded = [row(7, { name: country.name })]
        loads++
        if (loads === 1) await invalidateEntries(store, 'note', [])
        if (loads === 2) {
          country.name = 'new'
          await invalidateEntries(store, 'country', ['shop:v1:detail:country:7'])
        }
        return loaded
      },
    })
    const notes = source(() => [row(1, { country: 7 })])
    const join = [{ field: 'country', model: 'country', on: 'country' }]
    const report = await run([aModel('note', notes, { join }), aModel('country', countries, { warm: null })])
    expect(loads).toBe(2)
    expect(report.totals).toMatchObject({ written: 0, skipped: { invalidated: 1 } })
    expect(await cachedAt(KEY)).toBeNull()
  })

  it('leaves a newer entry whose header is longer than what is read of it, unless one of its stamps is gone', async () => {
    const names = await put(KEY, 'theirs', { sourceVersion: '9', tags: 20 })
    const rows = source(() => [row(1, {}, '5')], {
      async *selectIds() {
        yield [{ id: 1, tenant: null }]
      },
    })
    const note = aModel('note', rows)
    expect((await run([note])).totals).toMatchObject({ written: 0, skipped: { newer: 1 } })
    expect((await run([note], { missing: true })).totals).toMatchObject({ written: 0, skipped: { present: 1 } })
    expect(await cachedAt(KEY)).toBe('theirs')
    await store.call('UNLINK', stampKey('shop', names[17] as string))
    expect((await run([note], { missing: true })).totals).toMatchObject({ written: 1 })
    expect(await cachedAt(KEY)).toEqual({ id: 1 })
  })

  it('--refresh without versions puts nothing in the place of what was loaded after its own row', async () => {
    let n = 0
    let first = true
    const notes = source(() => [row(1, { n })], {
      async *select() {
        const rows = [row(1, { n })]
        if (first) {
          first = false
          n = 1
          await put(KEY, { id: 1, n })
        }
        yield rows
      },
    })
    await run([aModel('note', notes)], { refresh: true })
    expect(await cachedAt(KEY)).toEqual({ id: 1, n: 1 })
    const streamed = source(() => [], { reads: 'stream', select: notes.select })
    delete (streamed as Partial<Source>).load
    const left = await run([aModel('note', streamed)], { refresh: true })
    expect(left).toMatchObject({ exitCode: 3, ok: false, totals: { skipped: { present: 1 } } })
    expect(left.problems[0]?.hint).toContain('`updatedAt`')
  })

  it('writes the newest of a row that comes twice in a page', async () => {
    const report = await run([
      aModel(
        'note',
        source(() => [row(1, { n: 5 }, '5'), row(1, { n: 3 }, '3')]),
      ),
    ])
    expect(report.totals).toMatchObject({ selected: 2, written: 1, skipped: { newer: 1 } })
    expect(await cachedAt(KEY)).toEqual({ id: 1, n: 5 })
  })

  it('does not claim rows that somebody else leases and has not written', async () => {
    await redis.call('SET', `shop~lease:{${KEY}}`, 'theirs', 'PX', 60_000)
    const spoiled = source(() => [row(1), row(2)], {
      async *select() {
        const rows = [row(1), row(2)]
        await invalidateEntries(store, 'note', [])
        yield rows
      },
    })
    const report = await run([aModel('note', spoiled)])
    expect(report.totals).toMatchObject({ written: 1, skipped: { present: 0, invalidated: 1 } })
  })

  it('gives its leases back when the rows cannot be loaded again, and counts them as failed', async () => {
    const spoiling = source(() => [], {
      async *select() {
        const rows = [row(1), row(2)]
        await invalidateEntries(store, 'note', [])
        yield rows
      },
      load: () => Promise.reject(new Error('the database went away')),
    })
    const report = await run([aModel('note', spoiling)])
    expect(report).toMatchObject({ exitCode: 12, totals: { selected: 2, failed: 2, written: 0 } })
    expect(await redis.call('KEYS', 'shop~lease*')).toEqual([])
  })

  it('says so when a stream cannot give again what was invalidated while it was read', async () => {
    const stream = fn(async function* () {
      yield [{ id: 1 }]
      await invalidateEntries(store, 'note', [])
      yield [{ id: 2 }]
    })
    const report = await run([aModel('note', stream)], { batch: 1 })
    expect(report).toMatchObject({ exitCode: 3, totals: { selected: 2, written: 1, skipped: { invalidated: 1 } } })
    expect(report.problems[0]?.hint).toContain('`load`')
  })
})

describe('warm, of what is asked', () => {
  const tenants = source(() => [row(1, {}, null, 'a'), row(2, {}, null, 'b')], {
    hasTenants: true,
    async *select({ tenant }) {
      yield [row(1, {}, null, 'a'), row(2, {}, null, 'b')].filter((one) => !tenant || one.tenant === tenant)
    },
  })
  const country = aModel(
    'country',
    source(() => [row(7)]),
    { warm: null },
  )
  const note = aModel('note', tenants, { tenant: true })

  it('takes every tenant that is named, and none twice', async () => {
    const report = await run([note], { targets: ['tenant:a', 'tenant:b'] })
    expect(report.models.map(({ tenant, written }) => [tenant, written])).toEqual([
      ['a', 1],
      ['b', 1],
    ])
    expect(() =>
      planWarm(
        aConfig(redis.url, [note]),
        { targets: ['tenant:a'], tenant: 'b', concurrency: 1, batch: 1, ifLocked: 'fail', dryRun: false },
        0,
      ),
    ).toThrow('two tenants')
    expect(() =>
      planWarm(
        aConfig(redis.url, [note, country]),
        { targets: ['country'], tenant: 'b', concurrency: 1, batch: 1, ifLocked: 'fail', dryRun: false },
        0,
      ),
    ).toThrow('no tenants')
  })

  it('joins rows without tenants into those of one tenant', async () => {
    const asked: unknown[] = []
    const countries = source(() => [row(7)], { load: async (_, { tenant }) => [row(7, { asked: asked.push(tenant) })] })
    const notes: Source = {
      ...tenants,
      async *select() {
        yield [row(1, { country: 7 }, null, 'a')]
      },
    }
    const join = [{ field: 'country', model: 'country', on: 'country' }]
    const models = [aModel('note', notes, { tenant: true, join }), aModel('country', countries, { warm: null })]
    expect((await run(models, { tenant: 'a' })).totals.written).toBe(1)
    expect(asked).toEqual([undefined])
  })

  it('counts ids once, cuts them at the limit, and says which have no row', async () => {
    const notes = aModel(
      'note',
      source(() => [row(1), row(2), row(3)]),
    )
    expect((await run([notes], { ids: ['1', '1', '9'] })).totals).toMatchObject({
      selected: 2,
      written: 1,
      skipped: { absent: 1 },
    })
    expect((await run([notes], { targets: ['note:2'], ids: ['3'] })).totals).toMatchObject({ selected: 2, written: 2 })
    await redis.call('FLUSHALL')
    expect((await run([notes], { ids: ['1', '2', '3'], limit: 2 })).totals).toMatchObject({
      selected: 2,
      written: 2,
      skipped: { absent: 0 },
    })
  })

  it('goes on after a list page that cannot be an entry, and after an id that cannot stand in a key', async () => {
    const lists = [
      {
        name: 'recent',
        by: [],
        where: {},
        sort: [],
        pageSize: 1,
        pages: 2,
        top: 1,
        values: null,
        namespace: 'list',
        countNamespace: null,
      },
    ]
    const listed = source(() => [row(1)], { list: async () => [row(1, { bad: () => 1 }), row(2)] })
    const report = await run([aModel('note', listed, { lists })])
    expect(report).toMatchObject({ exitCode: 3, totals: { written: 2, failed: 1 } })
    const ids = source(() => [row(1)], {
      async *selectIds() {
        yield [
          { id: '', tenant: null },
          { id: 1, tenant: null },
          { id: 2, tenant: null },
        ]
      },
    })
    await redis.call('FLUSHALL')
    expect((await run([aModel('note', ids)], { missing: true })).totals).toMatchObject({
      selected: 3,
      written: 1,
      failed: 1,
      skipped: { absent: 1 },
    })
  })

  it('names in the report what it did not reach and what it left to another run', async () => {
    const lock = await control.lock('warm:note', 'elsewhere:1', 30_000)
    const skipped = await run(
      [
        aModel(
          'note',
          source(() => [row(1)]),
        ),
      ],
      { ifLocked: 'skip' },
    )
    expect(skipped.notWarmed).toEqual([
      { model: 'note', reason: expect.stringMatching(/^locked by elsewhere:1 since /) },
    ])
    if (lock.held) await lock.release()
  })
})

describe('warm, as a user of few rights', () => {
  const as = async (rules: string[]) => {
    await redis.call('ACL', 'SETUSER', 'few', 'reset', 'on', '>few', '~*', '+@all', ...rules)
    const url = `redis://few:few@127.0.0.1:${redis.port}`
    const theirs = openStore({ url, from: 'the test', tls: null }, { connectTimeoutMs: 5_000, replyTimeoutMs: 5_000 })
    return { store: theirs, control: openControl(theirs, 'shop') }
  }
  const notes = () =>
    aModel(
      'note',
      source(() => [row(1), row(2)]),
    )

  it('writes under leases where WATCH or MULTI is refused', async () => {
    for (const rules of [['-multi'], ['-watch']]) {
      await redis.call('FLUSHALL')
      const over = await as(rules)
      expect((await run([notes()], {}, over)).totals).toMatchObject({ selected: 2, written: 2 })
      const stream = aModel(
        'note',
        fn(() => [{ id: 5 }]),
      )
      expect((await run([stream], {}, over)).totals).toMatchObject({ selected: 1, written: 1 })
      expect(await redis.call('EXISTS', 'shop:v1:detail:note:5')).toBe(1)
      expect(await redis.call('KEYS', 'shop~lease*')).toEqual([])
      await over.store.close()
    }
  })

  it('gives its lock back where scripts are refused', async () => {
    const over = await as(['-eval'])
    expect((await run([notes()], {}, over)).exitCode).toBe(0)
    expect(await redis.call('EXISTS', 'shop~lock:warm:note')).toBe(0)
    await over.store.close()
  })
})
