// The verbs on a real Sentinel set whose primary changes in the middle of them: nothing is lost, and nothing is said that is not so.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Account, emptyAccount, isBalanced } from '../../src/core/account.ts'
import { CachectlError } from '../../src/core/errors.ts'
import { BUMP } from '../../src/core/generation-record.ts'
import { type OpenedContext, openContext } from '../../src/ops/context.ts'
import { versionBump } from '../../src/ops/version-bump.ts'
import { planVersionBump } from '../../src/ops/version-bump-plan.ts'
import type { Lane } from '../../src/ports.ts'
import { startSentinel, type TestSentinel } from '../topologies.ts'
import { testConfig } from './fixture.ts'
import { entriesAmong, keysOfMasters, openVerbs, type Ran, type Verbs } from './verbs-world.ts'

const KEYS = 800

let set: TestSentinel
let verbs: Verbs
beforeAll(async () => {
  set = await startSentinel({ replicas: 1 })
  verbs = openVerbs({ url: set.url, dir: set.sentinels[0]?.dir as string })
}, 60_000)
afterAll(async () => {
  await verbs?.close()
  await set?.stop()
})

const entries = async () =>
  entriesAmong(await keysOfMasters([await set.primary()])).filter((key) => key.startsWith('shop:v1'))

beforeEach(async () => {
  const primary = await set.primary()
  await primary.call('FLUSHALL')
})

const fill = async () => {
  const keys = Array.from({ length: KEYS }, (_, index) => `shop:v1:list:product:all:page_${index}`)
  await verbs.fill([...keys, ...Array.from({ length: KEYS }, (_, index) => `filler:${index}`)])
  await (await set.primary()).call('WAIT', 1, 5_000)
}

/** Runs it, and lets this happen when it has begun to change keys. */
const during = async (
  argv: readonly string[],
  changed: () => Promise<boolean>,
  happens: () => Promise<unknown>,
): Promise<Ran> => {
  const running = verbs.run([...argv, '--json'], { ROWS: '1500' })
  await expect.poll(changed, { timeout: 30_000, interval: 20 }).toBe(true)
  await happens()
  return running
}

const runs = async () =>
  JSON.parse((await verbs.run(['history', '--json'])).stdout).entries as Record<string, unknown>[]

const expectTrue = async (ran: Ran): Promise<void> => {
  const report = JSON.parse(ran.stdout)
  const account = Object.fromEntries(Object.keys(emptyAccount()).map((part) => [part, report[part]]))
  expect(isBalanced(account as unknown as Account), ran.stdout).toBe(true)
  expect([0, 3, 10], ran.stdout).toContain(ran.exitCode)
  expect(report).toMatchObject({ ok: ran.exitCode === 0, complete: ran.exitCode === 0 })
  if (ran.exitCode === 0) expect(await entries()).toEqual([])
  else expect(ran.exitCode === 10 || report.doubt !== null || report.stopped !== null, ran.stdout).toBe(true)
}

const AGAIN = ['--yes', '--max-percent', '100']
const began = async () => {
  const left = (await entries()).length
  return left > 0 && left < KEYS
}

describe('the Sentinels are told to fail over', () => {
  it.each([['namespace:list'], ['pattern:shop:v1:list:*']])(
    'invalidate %s',
    async (target) => {
      await fill()
      const ran = await during(['invalidate', target, ...AGAIN, '--rate', '200'], began, () => set.failover())
      await expectTrue(ran)
      const journal = (await runs()).filter(({ verb }) => verb === 'invalidate')
      for (const { exitCode } of journal) expect([ran.exitCode, null]).toContain(exitCode)
      expect(await verbs.run(['invalidate', target, ...AGAIN])).toMatchObject({ exitCode: 0 })
      expect(await entries()).toEqual([])
    },
    60_000,
  )

  it('expire: it does not say that it is done where its keys may be without', async () => {
    await fill()
    const ending = async () => {
      const primary = await set.primary()
      const keys = await entries()
      const left = await Promise.all(keys.map((key) => primary.call('PTTL', key)))
      return left.filter((ms) => Number(ms) > 0).length
    }
    const argv = ['expire', 'namespace:list', '--ttl', '24h', '--yes', '--max-percent', '100']
    const begun = async () => {
      const changed = await ending()
      return changed > 0 && changed < KEYS
    }
    const ran = await during([...argv, '--rate', '200'], begun, () => set.failover())
    const { deleted: _, ...report } = JSON.parse(ran.stdout)
    const account = Object.fromEntries(
      Object.keys(emptyAccount()).map((part) => [part, report[part] ?? report.changed]),
    )
    expect(isBalanced(account as unknown as Account), ran.stdout).toBe(true)
    expect(report.changed + report.unknown, ran.stdout).toBeLessThanOrEqual(KEYS)
    expect([3, 10], ran.stdout).toContain(ran.exitCode)
    expect(report).toMatchObject({ ok: false, complete: false })
    expect(report.doubt !== null || report.stopped !== null, ran.stdout).toBe(true)
    expect(await verbs.run(argv)).toMatchObject({ exitCode: 0 })
    expect(await ending()).toBe(KEYS)
  }, 60_000)

  it('warm: it does not say that it is done, and says what happened; the next run completes it', async () => {
    const ran = await during(
      ['warm', 'product', '--rate', '400', '--batch', '50'],
      async () => (await entries()).length > 100,
      () => set.failover(),
    )
    const report = JSON.parse(ran.stdout)
    expect([3, 10], ran.stdout).toContain(ran.exitCode)
    expect(report).toMatchObject({ ok: false, complete: false })
    const messages = report.problems.map(({ message }: { message: string }) => message).join('\n')
    expect(messages).not.toMatch(/restarted/)
    expect(await verbs.run(['warm', 'product', '-q'], { ROWS: '1500' })).toMatchObject({ exitCode: 0 })
    expect(await entries()).toHaveLength(1_500)
  }, 60_000)
})

/** The context of a command whose first answer to a bump is lost, because this happened in between. */
async function losing(happens: () => Promise<unknown>): Promise<{ context: OpenedContext; sent: () => number }> {
  const config = testConfig(set.url)
  const loaded = { config, redis: config.redis, file: null }
  const context = await openContext({ loaded, emit: () => {}, signal: new AbortController().signal })
  let sent = 0
  const lossy = (lane: Lane): Lane => {
    let lost = false
    let bumps = false
    return {
      noTouch: lane.noTouch,
      close: () => lane.close(),
      get closed() {
        return lost || lane.closed
      },
      page() {
        const page = lane.page()
        const add = page.add.bind(page)
        page.add = (...command) => {
          bumps ||= command[0] === 'EVAL' && String(command[1]).endsWith(BUMP)
          return add(...command)
        }
        return page
      },
      async run(page) {
        const replies = await lane.run(page)
        if (!bumps || sent++ > 0) return replies
        await happens()
        lost = true
        lane.close()
        throw new CachectlError('REDIS_UNREACHABLE', 'the connection was lost')
      },
    }
  }
  const store = new Proxy(context.store, {
    get(target, name) {
      if (name === 'lane') return async (...args: Parameters<typeof target.lane>) => lossy(await target.lane(...args))
      const found = Reflect.get(target, name)
      return typeof found === 'function' ? found.bind(target) : found
    },
  })
  return { context: { ...context, store }, sent: () => sent }
}

it('version bump whose answer is lost in a failover is not made twice', async () => {
  const { context, sent } = await losing(async () => {
    await (await set.primary()).call('WAIT', 1, 5_000)
    await set.failover()
  })
  try {
    const plan = await planVersionBump(context, { target: 'namespace:list', tenant: null, allTenants: false })
    const report = await versionBump(context, plan)
    expect(report.exitCode).toBe(0)
    expect(sent()).toBeGreaterThan(1)
    const shown = JSON.parse((await verbs.run(['version', 'show', '--json'])).stdout)
    const scope = shown.scopes.find((one: { scope: string }) => one.scope === 'namespace:list')
    expect(scope).toMatchObject({ generation: 1, token: report.scopes[0]?.token })
  } finally {
    await context.close()
  }
}, 60_000)

describe('the primary is killed', () => {
  it('in the middle of an invalidation: what is said is so, and the next one completes it', async () => {
    await fill()
    const ran = await during(['invalidate', 'namespace:list', ...AGAIN, '--rate', '200'], began, () =>
      set.killPrimary(),
    )
    await expectTrue(ran)
    expect(await verbs.run(['invalidate', 'namespace:list', ...AGAIN])).toMatchObject({ exitCode: 0 })
    expect(await entries()).toEqual([])
    expect((await runs())[0]).toMatchObject({ verb: 'invalidate', exitCode: 0 })
  }, 60_000)
})
