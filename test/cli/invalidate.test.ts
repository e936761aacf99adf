// `cachectl invalidate` as people and scripts run it: what is refused, what is asked, what is said, and that just this is done.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Account, emptyAccount, isBalanced } from '../../src/core/account.ts'
import { contentOf, fillKeys, keysOf, openBytes } from '../keyspace.ts'
import { hostileKeys, RAW } from '../ops/fixture.ts'
import { fillUp, startUnsaved } from '../refusing-servers.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { runIn } from './in-folder.ts'
import { cleanEnvironment, commandLine, createProject, type Project, cachectl as spawned, until } from './spawned.ts'

const CONFIG = `
import { defineConfig, fn } from 'cachectl'
const rows = async function* () { yield { id: 1, org_id: '1' } }
export default defineConfig({
  redis: process.env.REDIS_URL,
  prefix: 'shop',
  env: process.env.STAGE,
  tenant: { label: 'org' },
  namespaces: { detail: { ttl: '1h' }, list: { ttl: '5m' }, old: { ttl: '1m', format: 'raw', key: 'legacy:*' } },
  models: {
    product: { source: fn({ rows }), namespace: 'detail', tenant: false },
    order: { source: fn({ tenant: 'org_id', rows }), namespace: 'detail', tenant: true },
  },
  protect: ['shop:v1:detail:product:kept*', 'sess:*'],
})
`

let server: TestRedis
let redis: Redis
let project: Project

beforeAll(async () => {
  server = await startRedis()
  redis = openBytes(server)
  project = createProject({ 'cache.config.ts': CONFIG })
})
afterAll(async () => {
  project.remove()
  redis.disconnect()
  await server.stop()
})

const OTHERS = ['sess:1', 'sess:2', 'bull:q:1', 'cart:1', 'product:1', 'shops:1', 'shop2:v1:detail:product:1']
const of = (head: string, count: number) => Array.from({ length: count }, (_, i) => `${head}${i}`)

beforeEach(async () => {
  await server.call('FLUSHALL')
  await fillKeys(server, [
    ...of('shop:v1:detail:product:', 60),
    ...of('shop:v1:list:product:all:page_', 30),
    ...of('shop:v1:detail:order:org_1:', 20),
    ...of('shop:v1:detail:order:org_2:', 20),
    'shop:v1:detail:order:org_%2A:1',
    'shop:v1:detail:product:kept1',
    'shop:v1:detail:@fn.rate:7',
    'legacy:1',
    ...of('filler:', 100),
    ...OTHERS,
  ])
})

interface Ran {
  exitCode: number
  stdout: string
  stderr: string
}

function run(argv: readonly string[], env: Record<string, string> = {}, url = server.url): Promise<Ran> {
  const given = { REDIS_URL: url, XDG_STATE_HOME: server.dir, STAGE: 'development', ...env }
  return runIn(project.folder, ['invalidate', ...argv], given)
}

/** Keys that are not cachectl's own. */
async function left(): Promise<Set<string>> {
  const keys = await keysOf(redis)
  for (const key of keys) if (key.startsWith('shop~')) keys.delete(key)
  return keys
}

/** Runs it; which keys have gone. */
async function gone(argv: readonly string[], env?: Record<string, string>): Promise<Ran & { gone: string[] }> {
  const before = await left()
  const ran = await run(argv, env)
  const after = await left()
  for (const key of after) expect(before).toContain(key)
  return { ...ran, gone: [...before].filter((key) => !after.has(key)).sort() }
}

function expectBalanced(report: Account): void {
  const parts = Object.keys(emptyAccount()).map((part) => [part, report[part as keyof Account]])
  expect(isBalanced(Object.fromEntries(parts))).toBe(true)
}

const count = (keys: readonly string[], head: string) => keys.filter((key) => key.startsWith(head)).length

describe('refused, and nothing is deleted', () => {
  it.each<[string, string[], number, RegExp]>([
    ['no target', [], 2, /no target is named/],
    ['an empty target', [''], 2, /an empty target/],
    ['no yes, nobody there', ['product'], 4, /cachectl invalidate product --yes/],
    ['all without its name', ['all'], 4, /cachectl invalidate all --confirm=shop/],
    ['all with a yes', ['all', '--yes'], 4, /--confirm=shop/],
    ['*', ['pattern:*', '--yes'], 4, /cachectl invalidate 'pattern:\*' --yes --confirm=shop/],
    ['?*', ['pattern:?*', '--yes'], 4, /--confirm=shop/],
    ['[^x]*', ['pattern:[^x]*', '--yes'], 4, /--confirm=shop/],
    ['shop*', ['pattern:shop*', '--yes'], 4, /--confirm=shop/],
    ['shop:*', ['pattern:shop:*', '--yes'], 4, /--confirm=shop/],
    ['shop:v1:*', ['pattern:shop:v1:*', '--yes'], 4, /--confirm=shop/],
    ['*:v1:*', ['pattern:*:v1:*', '--yes'], 4, /--confirm=shop/],
    ['* of others', ['pattern:*', '--foreign', '--yes'], 4, /--confirm=shop/],
    ['another name', ['all', '--confirm=sho'], 4, /cachectl invalidate all --confirm=shop/],
    ['product:* bare', ['product:*', '--yes'], 2, /pattern:'product:\*'/],
    ['a pattern outside', ['pattern:product:*', '--yes'], 2, /matches nothing under shop:.*--foreign/s],
    ['an empty tenant', ['product', '--tenant', '', '--yes'], 2, /names nothing behind the colon/],
    ['an empty tenant as a target', ['tenant:', '--yes'], 2, /names nothing/],
    ['rows of all tenants, not said', ['order', '--yes'], 2, /--all-tenants/],
    ['two tenants', ['tenant:1', '--tenant', '2', '--yes'], 2, /is not tenant 2/],
    ['a name nobody knows', ['prodct', '--yes'], 2, /did you mean `product`/],
    ['more than allowed', ['product', '--yes', '--max-keys', '9'], 4, /--max-keys=90/],
    ['a larger share than allowed', ['all', '--confirm=shop', '--max-percent', '10'], 4, /--max-percent=\d\d/],
    ['soft and over', ['product', '--soft', '--over', '1m'], 2, /exclude each other/],
    ['a bad share', ['product', '--max-percent', '0'], 2, /1 to 100/],
    ['a bad number', ['product', '--max-keys', 'x'], 2, /whole number/],
    ['a bad rate', ['product', '--rate', '-1'], 2, /whole number/],
    ['a bare duration', ['product', '--over', '10'], 2, /10m|unit/],
    ['tags made stale', ['tag:a', '--soft', '--yes'], 2, /stands in them only/],
  ])('%s', async (_, argv, exitCode, message) => {
    const ran = await gone(argv)
    expect(ran.gone).toEqual([])
    expect(ran.exitCode).toBe(exitCode)
    expect(ran.stderr).toMatch(message)
    expect(ran.stdout).toBe('')
    expect(await redis.exists('shop~journal', 'shop~generations')).toBe(0)
  })

  it('in production every one wants the name', async () => {
    const stage = { STAGE: 'production' }
    expect(await gone(['key:shop:v1:detail:product:1', '--yes'], stage)).toMatchObject({ exitCode: 4, gone: [] })
    const { exitCode, gone: keys } = await gone(['key:shop:v1:detail:product:1', '--confirm=shop'], stage)
    expect({ exitCode, keys }).toEqual({ exitCode: 0, keys: ['shop:v1:detail:product:1'] })
  })

  it('what a refusal says to type passes', async () => {
    const { stderr } = await gone(['pattern:*', '--max-keys', '5', '--max-percent', '1'])
    const [, words = ''] = /next: to do it: cachectl invalidate (.*)\n/.exec(stderr) ?? []
    const ran = await gone(words.replaceAll("'", '').split(' '))
    expect(ran.exitCode).toBe(0)
    expect(count(ran.gone, 'shop:') + count(ran.gone, 'legacy:')).toBe(ran.gone.length)
  })
})

describe('exactly what was named', () => {
  const ORDERS = 41
  it.each<[string, string[], Record<string, number>]>([
    ['a model', ['product', '--yes'], { 'shop:v1:detail:product:': 60, 'shop:v1:list:product:': 30 }],
    ['a namespace', ['namespace:list', '--yes'], { 'shop:v1:list:': 30 }],
    ['a raw namespace', ['namespace:old', '--yes'], { 'legacy:': 1 }],
    ['a subject', ['subject:rate', '--yes'], { 'shop:v1:detail:@fn.rate:': 1 }],
    ['an entry of a subject', ['subject:rate:7', '--yes'], { 'shop:v1:detail:@fn.rate:': 1 }],
    ['a tenant', ['tenant:1', '--yes'], { 'shop:v1:detail:order:org_1:': 20 }],
    ['a tenant by its label', ['org:1', '--yes'], { 'shop:v1:detail:order:org_1:': 20 }],
    ['a tenant called *', ['tenant:*', '--yes'], { 'shop:v1:detail:order:org_%2A:': 1 }],
    ['the rows of a tenant', ['order', '--org', '2', '--yes'], { 'shop:v1:detail:order:org_2:': 20 }],
    ['the rows of a tenant called *', ['order', '--tenant', '*', '--yes'], { 'shop:v1:detail:order:org_%2A:': 1 }],
    ['the rows of all tenants', ['order', '--all-tenants', '--yes'], { 'shop:v1:detail:order:': ORDERS }],
    ['a row, and what shows it', ['product:7', '--yes'], { 'shop:v1:detail:product:': 1, 'shop:v1:list:product:': 30 }],
    ['a key', ['key:shop:v1:detail:product:7', '--yes'], { 'shop:v1:detail:product:7': 1 }],
    ["another tenant's key", ['key:shop:v1:detail:order:org_1:7', '--tenant', '2', '--yes'], {}],
    ["a tenant's pattern", ['pattern:shop:v1:*', '--tenant', '2', '--yes'], { 'shop:v1:detail:order:org_2:': 20 }],
    ['a pattern', ['pattern:*:page_1?', '--yes'], { 'shop:v1:list:product:all:page_1': 10 }],
    ['a pattern of others', ['pattern:cart:*', '--foreign', '--yes'], { 'cart:': 1 }],
    ['a queue, by a pattern of others', ['pattern:bull:*', '--foreign', '--yes'], {}],
    ['sessions, which are protected', ['pattern:sess:*', '--foreign', '--yes'], {}],
    [
      'several at once',
      ['namespace:list', 'tenant:1', '--yes'],
      { 'shop:v1:list:': 30, 'shop:v1:detail:order:org_1:': 20 },
    ],
    ['nothing', ['pattern:shop:v9:*', '--yes'], {}],
    [
      'all',
      ['all', '--confirm=shop', '--max-percent', '100'],
      {
        'shop:v1:detail:product:': 60,
        'shop:v1:detail:@fn.rate:': 1,
        'shop:v1:list:': 30,
        'shop:v1:detail:order:': ORDERS,
      },
    ],
  ])('%s', async (_, argv, expected) => {
    const { gone: keys, exitCode, stdout } = await gone([...argv, '--json'])
    const report = JSON.parse(stdout)
    expect(Object.fromEntries(Object.keys(expected).map((head) => [head, count(keys, head)]))).toEqual(expected)
    expect(keys).toHaveLength(Object.values(expected).reduce((sum, one) => sum + one, 0))
    expect(exitCode).toBe(0)
    expect(report).toMatchObject({ ok: true, complete: true, applied: true, deleted: keys.length, journal: 'redis' })
    expectBalanced(report)
  })

  it('protected ones are counted, and said to be why it takes longer', async () => {
    const { stderr, stdout, gone: keys } = await gone(['product', '--yes'])
    expect(keys).toHaveLength(90)
    expect(stderr).toMatch(/deleted key by key, not at once: `protect` has shop:v1:detail:product:kept\*/)
    expect(stdout).toMatch(/91 keys matched: 90 deleted, 1 protected/)
  })

  it('by its alias, in a process of its own', async () => {
    const cleared = await spawned(['clear', 'namespace:list', '--yes'], {
      cwd: project.folder,
      env: { REDIS_URL: server.url },
    })
    expect(cleared.exitCode).toBe(0)
    expect(count([...(await left())], 'shop:v1:list:')).toBe(0)
  })
})

describe('what is said', () => {
  it('every report has the same fields', async () => {
    const { stdout } = await run(['namespace:list', '--yes', '--json'])
    const report = JSON.parse(stdout)
    expect(Object.keys(report)).toEqual(
      expect.arrayContaining(
        'command ok complete dryRun startedAt durationMs redis targets applied matched deleted outdated alreadyGone protected failed unknown remaining bytes acknowledged journal'.split(
          ' ',
        ),
      ),
    )
    expect(Object.keys(report.redis)).toEqual(
      expect.arrayContaining(['endpoint', 'database', 'role', 'mode', 'version', 'runId', 'from']),
    )
    expect(report.acknowledged).toMatchObject({ processes: 0, of: 0, lapsed: false })
    expect(stdout.trimEnd().split('\n').length).toBe(
      JSON.stringify(report, null, 2) === stdout.trimEnd() ? stdout.trimEnd().split('\n').length : 1,
    )
  })

  it('a dry run says it all and does nothing', async () => {
    const before = await contentOf(redis, () => true)
    const { stdout, exitCode } = await run(['product', '--dry-run', '--json'])
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      dryRun: true,
      applied: false,
      matched: 91,
      remaining: 90,
      protected: 1,
      deleted: 0,
      preview: { keys: 90, method: 'full', protected: 1 },
    })
    expectBalanced(JSON.parse(stdout))
    expect(await contentOf(redis, () => true)).toEqual(before)
  })

  it('a refusal in JSON is one document, too', async () => {
    const { stdout, stderr, exitCode } = await run(['all', '--yes', '--json'])
    expect(exitCode).toBe(4)
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { code: 'REFUSED', exitCode: 4 } })
    expect(stderr).toMatch(/--confirm=shop/)
  })

  it('quiet: nothing where it went well, one line where it did not', async () => {
    expect(await run(['namespace:list', '--yes', '-q'])).toEqual({ exitCode: 0, stdout: '', stderr: '' })
    const { stdout, stderr, exitCode } = await run(['namespace:list', '-q'])
    expect({ stdout, exitCode, lines: stderr.trimEnd().split('\n').length }).toEqual({
      stdout: '',
      exitCode: 4,
      lines: 1,
    })
  })

  it('nothing matches: said first, with what is there', async () => {
    const { stderr } = await run(['pattern:shop:v1:lst:*', '--yes'])
    expect(stderr).toMatch(
      /Nothing matches pattern:shop:v1:lst:\*\.\n {2}here are: filler:\* \(100\), detail:product:\* \(61\)/,
    )
  })

  it('no character of a key reaches a terminal as it is', async () => {
    await fillKeys(server, hostileKeys())
    for (const argv of [
      ['pattern:shop:v1:list:*', '--yes'],
      ['all', '-n'],
      ['all', '--confirm=shop', '--max-percent', '100', '--json'],
    ]) {
      const { stdout, stderr } = await run(argv)
      expect(stdout + stderr).not.toMatch(RAW)
    }
  })
})

describe('softly', () => {
  it('--over: keys end within the time, none lives longer', async () => {
    await redis.pexpire('shop:v1:list:product:all:page_1', 500_000)
    const { stdout, exitCode } = await run(['namespace:list', '--over', '1h', '--yes', '--json'])
    expect(exitCode).toBe(0)
    const report = JSON.parse(stdout)
    expect(report).toMatchObject({ how: 'spread', applied: false, matched: 30, staleUntil: expect.any(String) })
    // One may have been about to end before that anyway.
    expect(report.deleted + report.alreadyGone).toBe(30)
    for (const key of of('shop:v1:list:product:all:page_', 30)) {
      const left = await redis.pttl(key)
      expect(left === -2 || (left > 0 && left <= 3_600_000)).toBe(true)
    }
    expect(await redis.pttl('shop:v1:list:product:all:page_1')).toBeLessThanOrEqual(500_000)
    expect(await redis.pttl('shop:v1:detail:product:1')).toBe(-1)
  })

  it('--soft: what is no entry cannot be stale, and is left, exit 3', async () => {
    const { stdout, exitCode } = await run(['namespace:list', '--soft', '--yes', '--json'])
    expect(exitCode).toBe(3)
    const report = JSON.parse(stdout)
    expect(report).toMatchObject({ how: 'stale', applied: false, failed: 30, deleted: 0 })
    expectBalanced(report)
  })
})

describe('servers and users that do not let everything', () => {
  it('OOM: it deletes, and the journal stands in a local file', async () => {
    await fillUp(server)
    try {
      const { stdout, exitCode } = await run(['namespace:list', '--yes', '--json'])
      expect(exitCode).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({ deleted: 30, applied: true, journal: 'local' })
      expect(count([...(await left())], 'shop:v1:list:')).toBe(0)
    } finally {
      await server.call('CONFIG', 'SET', 'maxmemory', '0')
    }
  })

  it('MISCONF: nothing is deleted, and it says why', async () => {
    const unsaved = await startUnsaved()
    const bytes = openBytes(unsaved)
    try {
      await fillKeys(unsaved, of('shop:v1:list:product:', 50))
      await unsaved.fail()
      const before = await contentOf(bytes, () => true)
      for (const target of ['namespace:list', 'pattern:shop:v1:list:*', 'product:1', 'key:shop:v1:list:product:1']) {
        const { exitCode, stderr } = await run([target, '--yes'], {}, unsaved.url)
        expect(exitCode).toBe(13)
        expect(stderr).toMatch(/MISCONF/)
        expect(stderr).toMatch(/nothing was deleted/)
        expect(await contentOf(bytes, () => true)).toEqual(before)
      }
    } finally {
      bytes.disconnect()
      await unsaved.stop()
    }
  })

  it('READONLY: a replica', async () => {
    await server.call('REPLICAOF', '127.0.0.1', '1')
    try {
      const before = await contentOf(redis, () => true)
      const { exitCode, stderr } = await run(['namespace:list', '--yes'])
      expect(exitCode).toBe(13)
      expect(stderr).toMatch(/replica/i)
      expect(stderr).toMatch(/nothing was deleted/)
      expect(await contentOf(redis, () => true)).toEqual(before)
    } finally {
      await server.call('REPLICAOF', 'NO', 'ONE')
    }
  })

  it.each<[string, string[], number]>([
    ['CONFIG', ['-config'], 0],
    ['INFO and DBSIZE', ['-info', '-dbsize'], 0],
    ['SCAN', ['-scan'], 11],
    ['EVAL', ['-eval'], 11],
    ['UNLINK', ['-unlink'], 11],
    ['anything dangerous', ['-@dangerous'], 0],
  ])('a user without %s', async (name, rules, exitCode) => {
    await server.call('ACL', 'SETUSER', 'limited', 'reset', 'on', '>pw', '~*', '&*', '+@all', ...rules)
    const url = server.url.replace('unix:', 'unix://limited:pw@')
    const before = await left()
    const { exitCode: code, stderr, stdout } = await run(['pattern:shop:v1:list:*', '--yes', '--json'], {}, url)
    expect({ code, stderr: code === exitCode ? '' : stderr }).toEqual({ code: exitCode, stderr: '' })
    const effect = before.size - (await left()).size
    expect(effect).toBe(exitCode === 0 ? 30 : 0)
    if (exitCode === 0) expect(JSON.parse(stdout)).toMatchObject({ deleted: 30, ok: true })
    else expect(stderr + stdout).toMatch(new RegExp(`NOPERM|${name.toLowerCase()}`, 'i'))
  })
})

describe.runIf(process.platform === 'linux')('on a terminal it asks', () => {
  async function answering(
    argv: readonly string[],
    question: RegExp,
    answer: string,
  ): Promise<{ code: number; shown: string }> {
    const words = commandLine(['invalidate', ...argv]).map((word) => `'${word}'`)
    const child = spawn('script', ['-qefc', words.join(' '), '/dev/null'], {
      cwd: project.folder,
      env: cleanEnvironment({ REDIS_URL: server.url, TERM: 'xterm-256color', STAGE: 'development' }),
      stdio: 'pipe',
    })
    let shown = ''
    child.stdout.on('data', (chunk) => {
      shown += chunk
    })
    const ended = once(child, 'close')
    await until(() => question.test(shown) || child.exitCode !== null)
    child.stdin.write(answer)
    const [code] = await ended
    return { code, shown }
  }

  it.each<[string, string, number, number]>([
    ['y', 'y\r', 0, 30],
    ['n', 'n\r', 4, 0],
    ['nothing', '\r', 4, 0],
    ['the prefix, where a yes is asked for', 'shop\r', 4, 0],
    ['Ctrl-C', '\x03', 130, 0],
    ['Ctrl-D', '\x04', 4, 0],
  ])('a yes: %s', async (_, answer, code, deleted) => {
    const before = await left()
    const ran = await answering(['namespace:list'], /Go on\? \[y\/N\]/, answer)
    expect(ran).toMatchObject({ code })
    expect(before.size - (await left()).size).toBe(deleted)
  })

  it.each<[string, string, number, number]>([
    ['typed', 'shop\r', 0, 132],
    ['a yes', 'y\r', 4, 0],
    ['another', 'shop2\r', 4, 0],
  ])('the name: %s', async (_, answer, code, deleted) => {
    const before = await left()
    const ran = await answering(['all', '--max-percent', '100'], /Type shop to go on/, answer)
    expect(ran).toMatchObject({ code })
    expect(before.size - (await left()).size).toBe(deleted)
  })
})
