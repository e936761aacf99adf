import type { Command } from 'commander'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createProgram } from '../../src/cli/program.ts'
import { createSession } from '../../src/cli/session.ts'
import { FINDINGS } from '../../src/core/diagnose.ts'
import { healthyCache, keyOf, putEntry } from '../ops/doctor-cache.ts'
import { RAW } from '../ops/fixture.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { createProject, type Project, shell } from './spawned.ts'
import { cachectl, testIo } from './test-io.ts'

const CONFIG = `
const rows = {
  kind: 'test', reads: 'page', strategies: ['all'], async *select() {},
  identify: (row) => ({ id: row.id, tenant: row.org_id === undefined ? null : String(row.org_id) }),
}
export default {
  prefix: 'shop', tenant: { label: 'org' },
  namespaces: { detail: { ttl: '10m', grace: '1m' }, list: { ttl: '10m', grace: '1m' } },
  models: { product: { source: rows, namespace: 'detail', tenant: false }, order: { source: rows, namespace: 'detail', tenant: true } },
}
`

describe('cachectl doctor', () => {
  let server: TestRedis
  let project: Project
  beforeAll(async () => {
    server = await startRedis({ port: 0 })
    project = createProject({ 'cache.config.mjs': CONFIG })
  })
  afterAll(async () => {
    project.remove()
    await server.stop()
  })
  beforeEach(() => healthyCache(server))
  const run = (line: string, url = server.url) =>
    cachectl(['doctor', ...line.split(' ').filter(Boolean)], { cwd: project.folder, env: { CACHECTL_REDIS: url } })

  it('begins with the four troubles, and what it looked at', async () => {
    const { exitCode, stdout, stderr } = await run('--touch')
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    const questions = stdout.split('\n').filter((line) => line.endsWith('?'))
    expect(questions).toEqual([
      '✓ Is something not invalidated?',
      '✓ Is data stale?',
      '✓ Is memory too full?',
      '✓ Are there too many misses?',
    ])
    expect(stdout).toContain('nothing found, looked at: connection, clocks, replicas')
    expect(stdout).toContain('rows of sources: it reads the database, so it is made with --source only')
    expect(stdout).toMatch(/✓ Healthy: \d\d of 23 checks made\n$/)
    for (const line of stdout.split('\n').filter((text) => !text.includes('===')))
      expect(line.length).toBeLessThanOrEqual(80)
  })

  it('exits 6 where something is critical, and says what to type', async () => {
    await putEntry(server, keyOf('order', 21, '7'), { id: 21, org_id: 8 })
    const { exitCode, stdout } = await run('--touch')
    expect(exitCode).toBe(6)
    expect(stdout).toContain('✗ Is something not invalidated?\n  see tenant-mixed')
    expect(stdout).toContain('    → cachectl invalidate order --tenant 7\n')
    expect(stdout).toMatch(/✗ In trouble: .*1 critical\n$/)
    const quiet = await run('--touch -q')
    expect(quiet).toMatchObject({ exitCode: 6, stdout: '' })
    expect(quiet.stderr).toMatch(/^doctor: tenant-mixed: .*\n$/)
  })

  it('exits 0 with warnings, and says nothing with --quiet', async () => {
    await server.call('PERSIST', keyOf('product', 1))
    expect(await run('-q')).toEqual({ exitCode: 0, stdout: '', stderr: '' })
    const { exitCode, stdout } = await run('')
    expect(exitCode).toBe(0)
    expect(stdout).toContain('! Needs attention')
    expect(stdout).toContain('→ cachectl expire namespace:detail --from-config --missing-only')
  })

  it('gives one JSON document, with checks, findings, health and acl', async () => {
    const { exitCode, stdout, stderr } = await run('--json')
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    const report = JSON.parse(stdout)
    expect(report).toMatchObject({ command: 'doctor', ok: true, complete: true, dryRun: false, prefix: 'shop' })
    expect(report.checks).toHaveLength(23)
    expect(report.health.findings).toEqual(report.findings)
    expect(report.acl.lines.map(({ group }: { group: string }) => group)).toContain('library')
    expect(report.redis).toMatchObject({ database: 0, role: 'primary', from: 'CACHECTL_REDIS' })
  })

  it('a server that is not there is a finding, as JSON too, without secrets', async () => {
    const url = 'redis://ops:geheim@127.0.0.1:1/3'
    const json = await run('--json', url)
    expect(json.exitCode).toBe(10)
    expect(JSON.parse(json.stdout)).toMatchObject({
      ok: false,
      exitCode: 10,
      redis: { endpoint: '127.0.0.1:1', database: 3 },
      findings: [{ id: 'unreachable' }],
    })
    const text = await run('', url)
    expect(text.exitCode).toBe(10)
    expect(text.stdout).toContain('Nothing else was checked: there is no connection')
    expect(`${json.stdout}${json.stderr}${text.stdout}${text.stderr}`).not.toContain('geheim')
    const quiet = await run('-q', url)
    expect(quiet.stderr).toMatch(/^doctor: unreachable: .*refuses connections.*\n$/)
    const refused = await run('', server.url.replace('redis://', 'redis://nobody:wrong@'))
    expect(refused.exitCode).toBe(11)
    expect(refused.stdout).toContain('login-refused')
  })

  it('prints ACL lines to a user that lacks rights', async () => {
    await server.call('ACL', 'SETUSER', 'ops', 'reset', 'on', '>secret', '~shop:*', '~shop~*', '&*', '+@all', '-unlink')
    const { exitCode, stdout } = await run('', server.url.replace('redis://', 'redis://ops:secret@'))
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^ {4}ACL SETUSER cachectl-incident on ><password> ~shop:\* ~shop~\* &shop~\* .*\+unlink/m)
  })

  it('works without a config, and refuses targets', async () => {
    const { exitCode, stdout } = await cachectl(['doctor', '--redis', server.url], { cwd: '/' })
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/there is no cache\.config\.\*\s+here or above/)
    expect(stdout).toContain('not checked)')
    expect((await run('product')).exitCode).toBe(2)
  })

  it('prints nothing raw, and ends quietly where its reader goes away', async () => {
    await server.call('SET', Buffer.from('shop:v1:detail:product:\x1b[31m\x07'), 'x')
    await server.call('SET', keyOf('product', 9), '\x1b[2J', 'PX', 60_000)
    const { stdout } = await run('--touch')
    expect(stdout).toContain('undecodable')
    expect(stdout).not.toMatch(RAW)
    const piped = await shell(`cachectl doctor --redis ${server.url} | head -1`)
    expect(piped.stdout).toMatch(/^=== Redis Cache Doctor ===.*\n$/)
    expect(piped.stderr).toBe('')
  })

  it('names only commands that there are, with flags that they have', () => {
    const program = createProgram(createSession(testIo().io))
    const nexts = FINDINGS.flatMap(({ next }) => (next?.startsWith('cachectl ') ? [next] : []))
    expect(nexts.length).toBeGreaterThan(20)
    for (const next of nexts) {
      const words = next.split(' ').slice(1)
      let command: Command = program
      for (const word of words) command = command.commands.find((one) => one.name() === word) ?? command
      expect(command, next).not.toBe(program)
      const known = [...command.options, ...program.options].map(({ long }) => long)
      for (const flag of words.filter((word) => word.startsWith('--'))) expect(known, next).toContain(flag)
    }
  })
})
