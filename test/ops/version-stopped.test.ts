// A bump that is stopped while processes are to confirm it: it is done, and the report and the journal say so.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { CachectlError } from '../../src/core/errors.ts'
import { history } from '../../src/ops/history.ts'
import { versionBump } from '../../src/ops/version-bump.ts'
import { planVersionBump } from '../../src/ops/version-bump-plan.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { closeWorld, openCommand } from './version-world.ts'

let server: TestRedis
beforeAll(async () => {
  server = await startRedis()
})
afterAll(async () => {
  await closeWorld()
  await server.stop()
})

it('tells what was bumped when nobody waits for confirmations any more', async () => {
  // A process that says that it lives, for a minute, and never answers.
  const seenAt = Date.now()
  const record = JSON.stringify({ seenAt, heartbeatMs: 60_000, host: 'web', pid: 1, version: '2' })
  await server.call('HSET', 'shop~processes', 'created', String(seenAt - 1_000_000), 'silent', record)
  const aborter = new AbortController()
  const context = await openCommand(server, { signal: aborter.signal })
  const plan = await planVersionBump(context, { target: 'namespace:list', tenant: null, allTenants: false })

  const running = versionBump(context, plan)
  await expect.poll(() => server.call('HGET', 'shop~generations', 'namespace:list')).not.toBeNull()
  aborter.abort(new CachectlError('INTERRUPTED', 'interrupted'))
  const report = await running

  expect(report.scopes.map(({ token }) => token)).toEqual([
    await server.call('HGET', 'shop~generations', 'namespace:list'),
  ])
  expect(report).toMatchObject({ ok: false, complete: false, applied: false, acknowledged: null })
  const [entry] = (await history(await openCommand(server), { limit: 1, since: null, verb: null, target: null }))
    .entries
  expect(entry).toMatchObject({ verb: 'version bump', ok: false, exitCode: report.exitCode })
}, 15_000)
