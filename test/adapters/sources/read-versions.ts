// A process of its own, for the test that starts it under another TZ: prints the versions of table `event` by column.
import pg from 'pg'
import { sql } from '../../../src/adapters/sources/sql.ts'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL as string })
const versions: Record<string, (string | null)[]> = {}
for (const updatedAt of ['at', 'local', 'day', 'revision']) {
  versions[updatedAt] = []
  const source = sql({ client: () => pool, close: () => {}, table: 'event', updatedAt })
  for await (const page of source.select({ strategy: 'all', pageSize: 3, signal: new AbortController().signal })) {
    versions[updatedAt].push(...page.map((row) => row.version))
  }
}
await pool.end()
console.log(JSON.stringify(versions))
