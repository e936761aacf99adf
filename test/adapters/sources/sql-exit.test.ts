// A pool that a source opened from a URL does not keep a program alive that is done.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Postgres, startPostgres } from '../../postgres.ts'

let postgres: Postgres

beforeAll(async () => {
  postgres = await startPostgres()
  await postgres.pool().query('create table item (id int primary key); insert into item values (1)')
})

afterAll(() => postgres?.stop())

const PROGRAM = `
  import { sql } from '${new URL('../../../src/adapters/sources/sql.ts', import.meta.url)}'
  const source = sql({ url: process.env.DATABASE_URL, table: 'item' })
  const rows = await source.load([1], { signal: new AbortController().signal })
  console.log('read', rows.length)
`

test('a program that never closes its source ends when it is done, before connections have been idle for 10 s', async () => {
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', PROGRAM], {
    cwd: fileURLToPath(new URL('../../..', import.meta.url)),
    env: { ...process.env, DATABASE_URL: postgres.url },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let readAtMs = Number.POSITIVE_INFINITY
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
    readAtMs = performance.now()
  })
  expect(await once(child, 'close')).toEqual([0, null])
  expect(output).toBe('read 1\n')
  expect(performance.now() - readAtMs).toBeLessThan(5_000)
})
