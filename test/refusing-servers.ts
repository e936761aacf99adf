// Servers that take reads and refuse writes, each for the reason that real ones have.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { startRedis, type TestRedis, type TestRedisOptions } from './servers.ts'

/** MISCONF from `fail` on: it cannot save, and stops writes because of that. `mend` lets it go on. */
export async function startUnsaved(
  options: TestRedisOptions = {},
): Promise<TestRedis & { fail(): Promise<void>; mend(): Promise<void> }> {
  const server = await startRedis({ ...options, args: [...(options.args ?? []), '--enable-protected-configs', 'yes'] })
  return {
    ...server,
    async fail() {
      await server.call('CONFIG', 'SET', 'dbfilename', 'dump.rdb', 'dir', '/proc', 'save', '3600 1')
      await server.call('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'yes')
      await server.call('BGSAVE')
      for (let look = 0; look < 500; look++) {
        if (String(await server.call('INFO', 'persistence')).includes('rdb_last_bgsave_status:err')) return
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      throw new Error('the server could save')
    },
    async mend() {
      await server.call('CONFIG', 'SET', 'save', '', 'dir', server.dir)
      rmSync(join(server.dir, 'dump.rdb'), { force: true })
    },
  }
}

/** OOM: `maxmemory`, noeviction, and no byte left. Resolves with how many keys fit in. */
export async function fillUp(server: TestRedis, maxmemory = '3mb', head = 'filler:'): Promise<number> {
  await server.call('CONFIG', 'SET', 'maxmemory', maxmemory, 'maxmemory-policy', 'noeviction')
  for (const bytes of [10_000, 100, 1]) {
    for (let key = 0; ; key++) {
      const refused = await server.call('SET', `${head}${bytes}:${key}`, 'x'.repeat(bytes)).then(
        () => false,
        () => true,
      )
      if (refused) break
    }
  }
  return Number(await server.call('DBSIZE'))
}
