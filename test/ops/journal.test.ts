import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openStore } from '../../src/adapters/redis/store.ts'
import { recordFields } from '../../src/core/journal-entry.ts'
import type { OperationContext } from '../../src/ops/context.ts'
import { beginJournal, configDigest, type JournalResult, RECORDS_KEPT } from '../../src/ops/journal.ts'
import { appendLine, journalFile, readLines } from '../../src/ops/journal-file.ts'
import { journalOf, readJournal } from '../../src/ops/journal-read.ts'
import type { ProgressEvent, Store } from '../../src/ports.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { contextOf, openTestStore, testConfig } from './fixture.ts'

let redis: TestRedis
let store: Store
let stateDir: string
let events: ProgressEvent[]

beforeAll(async () => {
  redis = await startRedis()
  store = openTestStore(redis)
})
afterAll(async () => {
  await store.close()
  await redis.stop()
})
beforeEach(async () => {
  await redis.call('FLUSHALL')
  stateDir = mkdtempSync(join(tmpdir(), 'cachectl-state-'))
  events = []
  return () => rmSync(stateDir, { recursive: true, force: true })
})

const DONE: JournalResult = { ok: true, complete: true, exitCode: 0, counts: { matched: 3, deleted: 3 } }
const ALL = { limit: null, since: null, match: () => true }

function here(more: Partial<OperationContext> = {}): OperationContext {
  const emit = (event: ProgressEvent) => void events.push(event)
  return contextOf(store, { config: testConfig(redis.url), stateDir, emit, ...more })
}

const notes = () => events.flatMap((event) => (event.event === 'note' ? [event.message] : []))
const invalidate = (what = ['product'], frees = true) => ({ verb: 'invalidate', what, frees })
const file = () => journalFile(stateDir, 'shop')

/** A server of its own, with a user or a limit that others must not have. */
async function withServer(args: string[], use: (server: TestRedis, own: Store) => Promise<void>): Promise<void> {
  const server = await startRedis({ args })
  const own = openTestStore(server)
  try {
    await use(server, own)
  } finally {
    await own.close()
    await server.stop()
  }
}

describe('the journal in Redis', () => {
  it('has the intent before anything is done and the result after it, with one id', async () => {
    const run = await beginJournal(here(), invalidate(['product', 'tag:x']))
    expect(run.place()).toBe('redis')
    const [open] = await journalOf(here(), () => true)
    expect(open).toMatchObject({ op: run.op, state: 'running', endedAt: null, what: ['product', 'tag:x'] })
    await run.end(DONE)
    await run.end({ ...DONE, ok: false })
    expect(await redis.call('XLEN', 'shop~journal')).toBe(2)
    const { entries } = await readJournal(here(), ALL)
    expect(entries).toHaveLength(1)
    expect(entries[0]).toMatchObject({
      op: run.op,
      verb: 'invalidate',
      state: 'done',
      ok: true,
      exitCode: 0,
      counts: DONE.counts,
      journal: 'redis',
      redis: null,
      config: configDigest(testConfig(redis.url)),
    })
    expect(entries[0]?.who).toMatch(new RegExp(`^.+@${hostname()}:${process.pid}$`))
    expect(existsSync(file())).toBe(false)
  })

  it('tells the time by the clock of the server', async () => {
    const wrong = { now: () => 0 }
    await (await beginJournal(here({ clock: wrong }), invalidate())).end(DONE)
    const [entry] = await journalOf(here(), () => true)
    expect(Math.abs(Date.parse(entry?.startedAt ?? '') - Date.now())).toBeLessThan(60_000)
    expect(entry?.startedAt.endsWith('Z')).toBe(true)
  })

  it('shows a run that was killed as one without a result', async () => {
    const run = await beginJournal(here(), invalidate())
    // The same record by a process that is gone, and by one of another machine.
    const [[, fields]] = (await redis.call('XRANGE', 'shop~journal', '-', '+')) as [[string, string[]]]
    for (const who of [`a@${hostname()}:999999999`, 'a@elsewhere:1'])
      await redis.call(
        'XADD',
        'shop~journal',
        '*',
        ...fields.map((text) => (text.includes('@') ? who : text)),
        'op',
        who,
      )
    const states = (await journalOf(here(), () => true)).map(({ who, state }) => [who.startsWith('a@'), state])
    expect(states).toEqual([
      [true, 'interrupted'],
      [true, 'interrupted'],
      [false, 'running'],
    ])
    await run.end(DONE)
  })

  it('is capped, however many runs there are', async () => {
    const fill = "for i = 1, 12000 do redis.call('XADD', KEYS[1], '*', 'op', i) end"
    await redis.call('EVAL', fill, 1, 'shop~journal')
    await (await beginJournal(here(), invalidate())).end(DONE)
    expect(Number(await redis.call('XLEN', 'shop~journal'))).toBeLessThan(RECORDS_KEPT + 500)
    const { entries, unreadable } = await readJournal(here(), ALL)
    expect(entries).toHaveLength(1)
    expect(unreadable).toBeGreaterThan(9_000)
  })

  it('a run whose intent has left the stream is told by its result', async () => {
    const long = await beginJournal(here(), { verb: 'warm', what: ['city'], frees: false })
    await redis.call('XTRIM', 'shop~journal', 'MAXLEN', 0)
    await (await beginJournal(here(), invalidate())).end(DONE)
    await long.end(DONE)
    const entries = await journalOf(here(), () => true)
    expect(entries.map(({ verb, state }) => [verb, state])).toEqual([
      ['invalidate', 'done'],
      ['warm', 'done'],
    ])
    expect(entries[1]?.startedAt).toBeTruthy()
  })

  it('without a config there is no prefix, and so no journal', async () => {
    const run = await beginJournal(here({ config: null }), invalidate())
    await run.end(DONE)
    expect(run.place()).toBe('none')
    expect(await redis.call('DBSIZE')).toBe(0)
    expect(await journalOf(here({ config: null }), () => true)).toEqual([])
  })
})

describe('what is read of it', () => {
  it('is filtered and limited, last begun first, over pages of any size', async () => {
    const head = { verb: 'invalidate', who: 'ops@web-1:1', config: null }
    const ended = { ...DONE, began: new Date().toISOString(), durationMs: 1 }
    const records = Array.from({ length: 300 }, (_, i) => {
      const both = { ...head, op: `op${i}`, what: [`product:${i}`] }
      return [
        recordFields({ ...both, phase: 'intent', ended: null }),
        recordFields({ ...both, phase: 'result', ended }),
      ]
    })
    await Promise.all(records.flat().map((fields) => redis.call('XADD', 'shop~journal', '*', ...fields)))
    const { entries } = await readJournal(here(), { ...ALL, limit: 5 })
    expect(entries.map(({ what }) => what[0])).toEqual([299, 298, 297, 296, 295].map((i) => `product:${i}`))
    expect((await readJournal(here(), ALL)).entries).toHaveLength(300)
    const some = await journalOf(here(), ({ what }) => what[0] === 'product:3')
    expect(some.map(({ what, state }) => [what, state])).toEqual([[['product:3'], 'done']])
    const since = entries[2]?.endedAt ?? ''
    const last = (await readJournal(here(), { ...ALL, since })).entries
    expect(last.every(({ endedAt }) => (endedAt ?? '') >= since)).toBe(true)
    expect(last.length).toBeGreaterThanOrEqual(3)
    expect(last.length).toBeLessThan(300)
  })

  it('a run that began before `since` and ended after it is shown', async () => {
    const long = await beginJournal(here(), { verb: 'warm', what: ['city'], frees: false })
    const began = (await journalOf(here(), () => true))[0]?.startedAt ?? ''
    while ((await now()) <= began) await (await beginJournal(here(), invalidate())).end(DONE)
    const since = await now()
    await long.end(DONE)
    expect((await readJournal(here(), { ...ALL, since })).entries.map(({ verb }) => verb)).toContain('warm')
  })

  async function now(): Promise<string> {
    const [seconds, us] = (await redis.call('TIME')) as [string, string]
    return new Date(Number(seconds) * 1000 + Number(us) / 1000).toISOString()
  }

  it('says why something is missing: no stream, no right to read', async () => {
    await redis.call('SET', 'shop~journal', 'something else')
    const { entries, notes: why } = await readJournal(here(), ALL)
    expect(entries).toEqual([])
    expect(why.join()).toMatch(/shop~journal is no stream/)
    await redis.call('ACL', 'SETUSER', 'blind', 'on', '>pw', '~*', '+@all', '-xrevrange')
    const own = openStore(
      {
        url: redis.url.replace('unix:', 'unix://blind:pw@').replace('unix://blind:pw@//', 'unix://blind:pw@/'),
        from: 'test',
        tls: null,
      },
      { connectTimeoutMs: 2_000, replyTimeoutMs: 2_000 },
    )
    expect((await readJournal(here({ store: own }), ALL)).notes.join()).toMatch(/XREVRANGE/)
    await own.close()
  })
})

describe('the local journal', () => {
  it('takes what Redis cannot for want of memory, of verbs that free some; the result goes where it can', async () => {
    await withServer([], async (server, own) => {
      const context = here({ store: own, config: testConfig(server.url) })
      await server.call('SET', 'fill', 'x'.repeat(100_000))
      await server.call('CONFIG', 'SET', 'maxmemory', 1)
      await expect(beginJournal(context, { verb: 'warm', what: [], frees: false })).rejects.toMatchObject({
        exitCode: 13,
      })
      expect(existsSync(file())).toBe(false)

      const full = await beginJournal(context, invalidate(['all']))
      expect(full.place()).toBe('local')
      expect(notes().join()).toContain(file())
      await full.end(DONE)
      const freeing = await beginJournal(context, invalidate(['tag:x']))
      await server.call('CONFIG', 'SET', 'maxmemory', 0)
      await freeing.end(DONE)

      const { entries } = await readJournal(context, ALL)
      expect(
        entries.map(({ what, state, journal, redis: about }) => [what[0], state, journal, about !== null]),
      ).toEqual([
        ['tag:x', 'done', 'local', true],
        ['all', 'done', 'local', true],
      ])
      expect(readLinesOf(file()).map(({ phase, op }) => [phase, op])).toEqual([
        ['intent', full.op],
        ['result', full.op],
        ['intent', freeing.op],
        ['result', freeing.op],
      ])
      // Of the run that freed memory another machine sees the whole, by its result.
      const elsewhere = await journalOf({ ...context, stateDir: null }, () => true)
      expect(elsewhere).toMatchObject([{ what: ['tag:x'], state: 'done', journal: 'redis', verb: 'invalidate' }])
    })
  })

  const readLinesOf = (path: string) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { phase: string; op: string; redis: string })

  it('takes what the server will not have: MISCONF, a replica, a user without the right, something else of that name', async () => {
    await withServer(['--save', '1 1', '--enable-protected-configs', 'yes'], async (server, own) => {
      const context = here({ store: own, config: testConfig(server.url) })
      await own.identity()
      // A snapshot that cannot be written: its folder is gone.
      const gone = join(stateDir, 'gone')
      mkdirSync(gone)
      await server.call('CONFIG', 'SET', 'dir', gone)
      rmSync(gone, { recursive: true })
      await server.call('SET', 'a', '1')
      await server.call('BGSAVE').catch(() => undefined)
      await expect.poll(() => server.call('SET', 'a', '1').catch((error: Error) => error.message)).toMatch(/MISCONF/)
      expect((await beginJournal(context, invalidate())).place()).toBe('local')
    })
    await withServer(['--replicaof', '127.0.0.1 1'], async (server, own) => {
      const context = here({ store: own, config: testConfig(server.url) })
      expect((await beginJournal(context, invalidate())).place()).toBe('local')
      await expect(beginJournal(context, invalidate(['x'], false))).rejects.toMatchObject({ exitCode: 13 })
    })
    await withServer([], async (server, own) => {
      const context = here({ store: own, config: testConfig(server.url) })
      await server.call('ACL', 'SETUSER', 'default', '-xadd')
      const run = await beginJournal(context, { verb: 'warm', what: ['city'], frees: false })
      expect(run.place()).toBe('local')
      expect(notes().at(-1)).toMatch(/XADD/)
      events = []
      await run.end(DONE)
      expect(notes()).toEqual([])
      await server.call('ACL', 'SETUSER', 'default', '+xadd')
      await server.call('SET', 'shop~journal', 'x')
      expect((await beginJournal(context, invalidate())).place()).toBe('local')
    })
    expect(readLinesOf(file())).toHaveLength(5)
  })

  it('where neither takes it, nothing is to be done: the error is that of Redis, and says what to do', async () => {
    await redis.call('SET', 'shop~journal', 'x')
    await expect(beginJournal(here({ stateDir: null }), invalidate())).rejects.toMatchObject({
      message: expect.stringMatching(/WRONGTYPE.*XDG_STATE_HOME nor HOME/),
    })
    writeFileSync(join(stateDir, 'journal'), 'a file where the folder should be')
    await expect(beginJournal(here(), invalidate())).rejects.toMatchObject({
      message: expect.stringMatching(/cannot be written|nor can/),
      hint: expect.stringContaining('XDG_STATE_HOME'),
    })
  })

  it('takes the result that Redis does not take any more, and says so', async () => {
    const run = await beginJournal(here(), invalidate())
    await redis.call('SET', 'shop~journal', 'x')
    await run.end(DONE)
    expect(run.place()).toBe('redis')
    expect(notes().join()).toContain('how this run ended is written to')
    await redis.call('DEL', 'shop~journal')
    // The intent is gone with the stream; the file alone has the result, which tells the run.
    expect(readLinesOf(file())).toMatchObject([{ phase: 'result', op: run.op }])
  })

  it('a server that is gone or stopped at the end holds nobody up who wants to stop', async () => {
    await withServer([], async (server, own) => {
      const stop = new AbortController()
      const run = await beginJournal(here({ store: own, signal: stop.signal }), invalidate())
      process.kill(server.pid, 'SIGSTOP')
      try {
        stop.abort()
        const startedMs = performance.now()
        await run.end(DONE)
        expect(performance.now() - startedMs).toBeLessThan(2_500)
      } finally {
        process.kill(server.pid, 'SIGCONT')
      }
      expect(readLinesOf(file())).toMatchObject([{ phase: 'result', op: run.op }])
    })
  })

  it('is for its user alone; lines stand on their own whatever was cut off, and old ones go', async () => {
    await appendLine(file(), '{"a":1}')
    expect(statSync(join(stateDir, 'journal')).mode & 0o777).toBe(0o700)
    expect(statSync(file()).mode & 0o777).toBe(0o600)
    writeFileSync(file(), '{"a":1}\n{"cut o')
    await appendLine(file(), '{"b":2}')
    expect(await readLines(file())).toEqual(['{"a":1}', '{"cut o', '{"b":2}'])
    await Promise.all(
      Array.from({ length: 50 }, (_, i) => appendLine(file(), JSON.stringify({ i, text: 'x'.repeat(5000) }))),
    )
    const lines = await readLines(file())
    expect(lines.filter((line) => line.startsWith('{"i"')).map((line) => JSON.parse(line).i)).toHaveLength(50)
    writeFileSync(file(), `${'x'.repeat(5 * 1024 * 1024)}\n`)
    await appendLine(file(), '{"c":3}')
    expect(statSync(file()).size).toBe(8)
    expect(await readLines(file())).toHaveLength(2)
  })

  it('that cannot be read is a note, and the rest is shown', async () => {
    await (await beginJournal(here(), invalidate())).end(DONE)
    mkdirSync(file(), { recursive: true })
    const { entries, notes: why } = await readJournal(here(), ALL)
    expect(entries).toHaveLength(1)
    expect(why.join()).toMatch(/local journal cannot be read/)
    chmodSync(join(stateDir, 'journal'), 0o700)
  })
})

describe('the digest of a config', () => {
  it('changes with what it says, and not with where it is or which Redis it names', () => {
    const digest = (more: Record<string, unknown> = {}, url = redis.url) => configDigest(testConfig(url, more))
    expect(digest()).toMatch(/^[0-9a-f]{16}$/)
    expect(digest({}, 'redis://:secret@elsewhere:1')).toBe(digest())
    expect(configDigest({ ...testConfig(redis.url), file: '/other/cache.config.ts' })).toBe(digest())
    expect(digest({ version: 2 })).not.toBe(digest())
    expect(digest({ protect: ['bull:*'] })).not.toBe(digest())
  })
})
