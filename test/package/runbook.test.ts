// docs/runbook.md is held to the programs: every command in it parses, and the course of each section ends in a `doctor` that finds no more.
import { readFileSync } from 'node:fs'
import { type Command, CommanderError } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createProgram } from '../../src/cli/program.ts'
import { createSession } from '../../src/cli/session.ts'
import { createProject, type Project } from '../cli/spawned.ts'
import { cachectl, testIo } from '../cli/test-io.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { startSentinel } from '../topologies.ts'

const text = readFileSync(new URL('../../docs/runbook.md', import.meta.url), 'utf8')
const sections = new Map(
  text
    .split(/^## /m)
    .slice(1)
    .map((part) => [part.slice(0, part.indexOf('\n')), part]),
)

/** Words of `cachectl …` in blocks of sh, with `$` or without, and between backticks. */
function commandsIn(page: string): string[][] {
  const blocks = [...page.matchAll(/```sh\n(.*?)```/gs)].flatMap(([, block = '']) =>
    [...block.matchAll(/^(?:\$ )?(cachectl .*)$/gm)].map(([, line = '']) => line),
  )
  const between = [...page.replace(/```.*?```/gs, '').matchAll(/`(cachectl [^`]+)`/g)].map(([, line = '']) => line)
  return [...blocks, ...between].map(wordsOf)
}

function wordsOf(line: string): string[] {
  const words = line.replace(/\s+#.*$/, '').match(/'[^']*'|\S+/g) ?? []
  return words.slice(1).map((word) => word.replaceAll("'", ''))
}

/** The command that would run, by its path; throws what commander says of flags that are none. */
async function parsed(words: readonly string[]): Promise<string> {
  const program = createProgram(createSession(testIo().io))
  let found = ''
  const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)]
  for (const command of all(program)) {
    if (command.commands.length > 0) continue
    command.action(() => {
      found = command.parent === program ? command.name() : `${command.parent?.name()} ${command.name()}`
    })
  }
  await program.parseAsync([...words], { from: 'user' })
  return found
}

describe('commands of the runbook', () => {
  it('parse', async () => {
    const commands = commandsIn(text)
    expect(commands.length).toBeGreaterThan(60)
    const verbs = new Set<string>()
    for (const words of commands) verbs.add(await parsed(words))
    for (const verb of ['doctor', 'stats', 'history', 'why', 'get', 'keys', 'warm', 'invalidate', 'expire', 'evict'])
      expect(verbs).toContain(verb)
    for (const verb of ['version show', 'version bump', 'version prune', 'policy check', 'policy apply'])
      expect(verbs).toContain(verb)
  })

  it('a flag or a verb that is none would be found', async () => {
    await expect(parsed(['invalidate', 'product', '--softly'])).rejects.toThrow(CommanderError)
    await expect(parsed(['invalidat', 'product'])).rejects.toThrow(CommanderError)
  })

  it('each section ends in a healthy doctor', () => {
    for (const [title, section] of sections) {
      const last = [...section.matchAll(/^\$ cachectl (.*)$/gm)].at(-1)
      if (title === 'The first five minutes') continue
      expect(`${title}: ${last?.[1]}`).toMatch(/: doctor/)
      // That it was flushed is said for an hour, whatever was done about it.
      expect(section.slice(last?.index)).toMatch(title === 'Someone ran FLUSHALL' ? /^`flushed` stays/m : /^✓ Healthy/m)
    }
    expect(sections.size).toBe(8)
  })
})

const PRODUCTS = 300
const CONFIG = `
import { readFileSync } from 'node:fs'
import { defineConfig, fn } from 'cachectl'
const rowsOf = (name: string) => JSON.parse(readFileSync(new URL('./' + name + '.json', import.meta.url), 'utf8'))
const source = (name, more) => fn({
  rows: () => rowsOf(name),
  load: (ids) => rowsOf(name).filter(({ id }) => ids.map(String).includes(String(id))),
  id: 'id', updatedAt: 'updated_at', ...more,
})
export default defineConfig({
  prefix: 'shop', version: 1, tenant: { label: 'org' },
  defaults: { grace: '5m' },
  namespaces: { detail: { ttl: '1h' }, search: { ttl: '24h', budget: { maxKeys: 100, policy: 'ttl' } } },
  models: {
    product: { source: source('product', {}), tenant: false, critical: true, warm: { strategy: 'all' } },
    order: { source: source('order', { tenant: 'org_id' }), tenant: true, warm: { strategy: 'all' } },
  },
  server: { maxmemory: '64mb', policy: 'volatile-lru' },
})
`

function rowsOf(name: 'product' | 'order', change = '2026-11-20T09:00:00Z', label = 'name'): string {
  const rows = Array.from({ length: PRODUCTS }, (_, index) => index + 1).map((id) =>
    name === 'product'
      ? { id, [label]: `Product ${id}`, updated_at: change }
      : { id, org_id: String(1 + (id % 2)), updated_at: change },
  )
  return JSON.stringify(rows)
}

describe('its sections, on a real server', () => {
  let redis: TestRedis
  let project: Project
  const run = async (line: string, exitCode = 0) => {
    const env = { XDG_STATE_HOME: project.folder }
    const ended = await cachectl([...wordsOf(`cachectl ${line}`), '--redis', redis.url], { cwd: project.folder, env })
    expect(ended, `${line}: ${ended.stderr}`).toMatchObject({ exitCode })
    return ended.stdout
  }
  const findings = async (flags = '', exitCode = 0) => {
    const report = JSON.parse(await run(`doctor ${flags} --json`, exitCode)) as Doctor
    return report.findings.filter(({ severity }) => severity !== 'info').map(({ id }) => id)
  }
  /** What a busy machine says of itself is no matter of the section. */
  const healthy = async (flags = '') => {
    await redis.call('SLOWLOG', 'RESET')
    expect((await findings(flags)).filter((id) => id !== 'latency')).toEqual([])
  }
  const get = async (key: string) => JSON.parse(await run(`get ${key}`)) as Record<string, unknown>

  beforeAll(async () => {
    redis = await startRedis({ args: ['--maxmemory', '64mb', '--maxmemory-policy', 'volatile-lru'] })
    project = createProject({ 'cache.config.ts': CONFIG, 'product.json': '[]', 'order.json': rowsOf('order') })
  })
  afterAll(async () => {
    project.remove()
    await redis.stop()
  })
  const fresh = async () => {
    await redis.call('FLUSHALL')
    await redis.call('CONFIG', 'RESETSTAT')
    project.write('product.json', rowsOf('product'))
    await run('warm')
  }

  it('stale data', async () => {
    await fresh()
    project.write('product.json', rowsOf('product', '2026-11-21T02:58:00Z'))
    expect(await findings('--source --touch')).toContain('stale-rows')
    await run('invalidate product --yes')
    await run('warm product --missing')
    await healthy('--source --touch')
  })

  it('memory full', async () => {
    await fresh()
    for (let id = 0; id < PRODUCTS; id++)
      await redis.call('SET', `shop:v1:search:results:${id}`, 'x'.repeat(200), 'EX', 80_000 + id)
    await redis.call('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    await redis.call('CONFIG', 'SET', 'maxmemory', '1000kb')
    expect(await findings('', 6)).toContain('memory-full')
    await run('warm product --refresh', 13)
    await run('evict --check', 6)
    await run('evict --yes')
    await run('policy check', 6)
    await run('policy apply --yes')
    await run('policy check')
    await run('expire namespace:search --over 10m --yes')
    await healthy()
  })

  it('hit rate dropped', async () => {
    await fresh()
    await run('version bump namespace:detail --yes --max-percent 100')
    expect(await run('history --since 1h')).toMatch(/version bump +done +namespace:detail/)
    expect(await run('why shop:v1:detail:product:42')).toContain('namespace:detail was bumped')
    const { about } = JSON.parse(await run('get shop:v1:detail:product:42 --json')) as { about: { notes: string[] } }
    expect(about.notes.join()).toContain('no read gives it: namespace:detail was bumped')
    expect(await findings()).toContain('dead-keys')
    await run('warm --missing')
    await run('version prune --yes --max-percent 100')
    await healthy()
  })

  it('wrong tenant', async () => {
    await fresh()
    for (let id = 1; id < PRODUCTS; id += 2)
      await redis.call('COPY', `shop:v1:detail:order:org_2:${id}`, `shop:v1:detail:order:org_1:${id}`)
    expect(await get('shop:v1:detail:order:org_1:7')).toMatchObject({ org_id: '2' })
    expect(await findings('--touch', 6)).toContain('tenant-mixed')
    await run('invalidate tenant:1 --yes')
    await run('invalidate order --tenant 1 --yes')
    expect(await run('history --verb invalidate')).toContain('order, --tenant 1')
    await run('warm order --tenant 1')
    await healthy('--touch')
    expect(await run('why shop:v1:detail:order:org_2:7')).not.toContain('invalidate')
  })

  it('after a bad deploy', async () => {
    await fresh()
    project.write('product.json', rowsOf('product', undefined, 'title'))
    await run('warm product --refresh')
    project.write('product.json', rowsOf('product'))
    expect(await get('shop:v1:detail:product:42')).toHaveProperty('title')
    await run('version bump model:product --yes --max-percent 40', 4)
    await run('version bump model:product --yes --max-percent 70')
    await run('warm product')
    const next = /cachectl why '(.*)'/.exec(await run('why shop:v1:detail:product:42'))?.[1]
    expect(await get(next ?? '')).toHaveProperty('name')
    await run('version prune --yes')
    await healthy()
  })

  it('someone ran FLUSHALL', async () => {
    await fresh()
    const key = 'shop:v1:detail:product:42'
    const restored = "local old = redis.call('GET', KEYS[1]) redis.call('FLUSHALL') redis.call('SET', KEYS[1], old)"
    await redis.call('EVAL', restored, 1, key)
    project.write('product.json', rowsOf('product', '2026-11-21T04:00:00Z'))
    expect(await run('history --verb warm')).toContain('Nothing is in the journal')
    expect(await findings()).toContain('flushed')
    expect(await run(`why ${key}`)).toMatch(/a read now +miss/)
    await run('warm --critical --missing')
    expect(await get(key)).toMatchObject({ updated_at: '2026-11-21T04:00:00Z' })
    await run('warm --missing')
    // Which is said for an hour.
    expect((await findings()).filter((id) => id !== 'latency')).toEqual(['flushed'])
  })

  it('Redis failover', async () => {
    const sentinel = await startSentinel({ args: ['--maxmemory', '64mb', '--maxmemory-policy', 'volatile-lru'] })
    const single = redis
    try {
      redis = { ...single, url: sentinel.url }
      project.write('product.json', rowsOf('product'))
      await run('warm')
      await sentinel.failover()
      await run('warm --missing')
      expect(await run('history')).toMatch(/warm +done/)
      expect((await findings()).filter((id) => id !== 'latency')).toEqual([])
    } finally {
      redis = single
      await sentinel.stop()
    }
  })
})

interface Doctor {
  findings: { id: string; severity: string }[]
}
