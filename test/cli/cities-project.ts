// An application with the real cities in PostgreSQL, its config in TypeScript, and a Redis of its own.
import { type Postgres, seedCities, startPostgres } from '../postgres.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { cachectl, createProject, type Ended, type Project, type Running, type SpawnOptions, start } from './spawned.ts'

export const CONFIG = `
import { defineConfig, sql } from 'cachectl'
import pg from 'pg'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
export default defineConfig({
  redis: process.env.REDIS_URL,
  prefix: 'world',
  tenant: { label: 'org' },
  namespaces: { detail: { ttl: '1h' }, list: { ttl: '5m' }, count: { ttl: '5m' } },
  models: {
    city: {
      source: sql({ client: () => pool, table: 'city', id: 'id', updatedAt: 'updated_at', popularity: 'population' }),
      namespace: 'detail',
      tenant: false,
      warm: { strategy: 'all' },
    },
  },
})
`

export interface CitiesProject {
  project: Project
  redis: TestRedis
  postgres: Postgres
  /** rows of table city */
  cities: number
  /** what the config reads */
  env: Record<string, string>
  run(argv: readonly string[], options?: SpawnOptions): Promise<Ended>
  start(argv: readonly string[], options?: SpawnOptions): Running
  /** Keys of entries: DBSIZE less cachectl's own. */
  entries(): Promise<number>
  /** Keys of cachectl's own, `world~…`. */
  controlKeys(): Promise<string[]>
  stop(): Promise<void>
}

export async function startCities(seed: { limit?: number } = {}): Promise<CitiesProject> {
  const [redis, postgres] = await Promise.all([startRedis({ port: 0 }), startPostgres()])
  const pool = postgres.pool()
  const { cities } = await seedCities((text, values) => pool.query(text, values), seed)
  const project = createProject({ 'cache.config.ts': CONFIG })
  const env = { REDIS_URL: redis.url, DATABASE_URL: postgres.url }
  const here = (options: SpawnOptions = {}) => ({ cwd: project.folder, ...options, env: { ...env, ...options.env } })
  const controlKeys = async () => (await redis.call('KEYS', 'world~*')) as string[]
  return {
    project,
    redis,
    postgres,
    cities,
    env,
    run: (argv, options) => cachectl(argv, here(options)),
    start: (argv, options) => start(argv, here(options)),
    controlKeys,
    async entries() {
      const control = await controlKeys()
      return Number(await redis.call('DBSIZE')) - control.length
    },
    async stop() {
      project.remove()
      await Promise.all([redis.stop(), postgres.stop()])
    },
  }
}
