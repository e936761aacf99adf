// What --quiet leaves of a run that failed is one line, whatever a source says.
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startRedis, type TestRedis } from '../servers.ts'
import { createProject, type Project } from './spawned.ts'
import { cachectl } from './test-io.ts'

const CONFIG = `export default {
  prefix: 'shop',
  namespaces: { detail: { ttl: '1h' } },
  models: { product: {
    source: { kind: 'rows', reads: 'page', strategies: ['all'], async *select() { throw new Error('no table:\\n\\n  at line 3 \\x1b[31mred') } },
    namespace: 'detail', tenant: false, warm: { strategy: 'all' } } },
}`

let redis: TestRedis
let project: Project
beforeAll(async () => {
  redis = await startRedis()
  project = createProject({ 'cache.config.mjs': CONFIG })
})
afterAll(async () => {
  project.remove()
  await redis.stop()
})

it('warm: a source that fails in many lines', async () => {
  const env = { CACHECTL_REDIS: redis.url, XDG_STATE_HOME: redis.dir }
  expect(await cachectl(['warm', '-q'], { cwd: project.folder, env })).toEqual({
    exitCode: 12,
    stdout: '',
    stderr: expect.stringMatching(/^warm: .*no table:\\x0A\\x0A {2}at line 3 \\x1B\[31mred\n$/),
  })
})
