// An application: its config in TypeScript, a Redis of its own, and the programs run in its folder. Prefix and model are the same in all.
import { type Postgres, seedCities, startPostgres } from '../postgres.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { cachectl, createProject, type Ended, type Project, type Running, type SpawnOptions, start } from './spawned.ts'

export interface App {
  project: Project
  redis: TestRedis
  /** rows of the model `city` */
  rows: number
  run(argv: readonly string[], options?: SpawnOptions): Promise<Ended>
  start(argv: readonly string[], options?: SpawnOptions): Running
  /** Keys of entries: DBSIZE less cachectl's own. */
  entries(): Promise<number>
  /** Keys of cachectl's own, `world~…`. */
  controlKeys(): Promise<string[]>
  /** The locks among them. */
  locks(): Promise<string[]>
  stop(): Promise<void>
}

/** The real cities, in a PostgreSQL of its own. */
export interface CitiesApp extends App {
  postgres: Postgres
}

const config = (imports: string, source: string) => `
import { defineConfig, fn, sql } from 'cachectl'
${imports}
export default defineConfig({
  redis: process.env.REDIS_URL,
  prefix: 'world',
  tenant: { label: 'org' },
  namespaces: { detail: { ttl: '1h' }, list: { ttl: '5m' } },
  models: { city: { source: ${source}, namespace: 'detail', tenant: false, warm: { strategy: 'all' } } },
})
`

const CITIES = config(
  `import pg from 'pg'
   const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })`,
  `sql({ client: () => pool, table: 'city', id: 'id', updatedAt: 'updated_at', popularity: 'population' })`,
)

export async function startCities(): Promise<CitiesApp> {
  const postgres = await startPostgres()
  const pool = postgres.pool()
  const { cities } = await seedCities((text, values) => pool.query(text, values))
  const app = await startApp(CITIES, cities, { DATABASE_URL: postgres.url })
  const stop = async () => {
    await Promise.all([app.stop(), postgres.stop()])
  }
  return { ...app, postgres, stop }
}

/** Rows `{ id, name, change }` of a function, with ids from 1. */
export function startRows(rows: number): Promise<App> {
  const source = `fn({ updatedAt: 'change', count: async () => ${rows}, rows: async function* () {
    for (let id = 1; id <= ${rows}; id++) yield { id, name: 'city ' + id, change: 1 } } })`
  return startApp(config('', source), rows)
}

async function startApp(text: string, rows: number, more: Record<string, string> = {}): Promise<App> {
  const redis = await startRedis({ port: 0 })
  const project = createProject({ 'cache.config.ts': text })
  const here = (options: SpawnOptions = {}) => ({
    cwd: project.folder,
    ...options,
    env: { REDIS_URL: redis.url, ...more, ...options.env },
  })
  const controlKeys = async () => (await redis.call('KEYS', 'world~*')) as string[]
  return {
    project,
    redis,
    rows,
    run: (argv, options) => cachectl(argv, here(options)),
    start: (argv, options) => start(argv, here(options)),
    controlKeys,
    locks: async () => (await controlKeys()).filter((key) => key.startsWith('world~lock')),
    async entries() {
      const control = await controlKeys()
      return Number(await redis.call('DBSIZE')) - control.length
    },
    async stop() {
      project.remove()
      await redis.stop()
    },
  }
}
