// kill -9 in the middle of a warm run: the next one waits for the lock to lapse, and then nothing is missing and nothing is twice.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type CitiesApp, startCities } from './app.ts'
import { until } from './spawned.ts'

/** What a killed run may hold others up. */
const LOCK_LAPSES_MS = 30_000
const LOCK = 'world~lock:warm:city'

let app: CitiesApp
beforeAll(async () => {
  app = await startCities()
})
afterAll(() => app?.stop())

it('goes on after kill -9, within 30 s', async () => {
  const first = app.start(['warm', '--json'])
  await until(async () => (await app.entries()) > 20_000)
  first.child.kill('SIGKILL')
  const killedMs = performance.now()
  const { signal, stdout } = await first.ended
  expect({ signal, stdout }).toEqual({ signal: 'SIGKILL', stdout: '' })
  const held = JSON.parse(String(await app.redis.call('GET', LOCK)))
  expect(held.holder).toMatch(new RegExp(`:${first.child.pid}$`))
  const before = await app.entries()
  expect(before).toBeLessThan(app.rows)

  const refused = await app.run(['warm', '--json'])
  expect(refused.exitCode).toBe(5)
  expect(JSON.parse(refused.stdout).problems[0]).toMatchObject({
    code: 'LOCKED',
    message: expect.stringContaining(held.holder),
  })
  const skipped = await app.run(['warm', '--if-locked', 'skip'])
  expect(skipped.exitCode).toBe(0)
  expect(await app.entries()).toBe(before)

  const second = app.start(['warm', '--json', '--if-locked', 'wait'])
  await until(async () => !String(await app.redis.call('GET', LOCK)).includes(held.token), LOCK_LAPSES_MS + 1_000)
  expect(performance.now() - killedMs).toBeLessThan(LOCK_LAPSES_MS + 500)

  const { exitCode, stdout: report, stderr } = await second.ended
  expect(exitCode).toBe(0)
  expect(stderr).toContain(`${held.holder} since ${held.since}: waiting`)
  const { selected, written, skipped: left } = JSON.parse(report).totals
  expect({ selected, written, present: left.present }).toEqual({
    selected: app.rows,
    written: app.rows - before,
    present: before,
  })
  expect(await app.entries()).toBe(app.rows)
  expect(await app.redis.call('EXISTS', LOCK)).toBe(0)
})
