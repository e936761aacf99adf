import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll } from 'vitest'
import { file } from '../../../src/adapters/sources/file.ts'
import { fn } from '../../../src/adapters/sources/fn.ts'
import { type ContractRow, sourceContract } from './source-contract.ts'

const fields = { id: 'id', tenant: 'org', updatedAt: 'updated_at' } as const

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cachectl-files-'))
})
afterAll(() => rm(folder, { recursive: true }))

sourceContract('fn, async generator', async (rows) => ({
  source: fn<ContractRow>({
    ...fields,
    rows: async function* () {
      yield* rows
    },
  }),
}))

sourceContract('fn, generator of arrays, with its own order and loader', async (rows) => ({
  source: fn<ContractRow>({
    ...fields,
    strategies: ['recent', 'popular'],
    *rows({ strategy }) {
      const rank = (row: ContractRow) =>
        strategy === 'recent' ? (row.updated_at ?? '') : strategy === 'popular' ? (row.score ?? -1) : 0
      const sorted = [...rows].sort((a, b) => (rank(a) < rank(b) ? 1 : rank(a) > rank(b) ? -1 : 0))
      for (let start = 0; start < sorted.length; start += 13) yield sorted.slice(start, start + 13)
    },
    load: async (ids) => [...new Set(ids.map(String))].map((id) => rows.find((row) => String(row.id) === id) ?? null),
  }),
}))

sourceContract('fn, promise of an array', async (rows) => ({
  source: fn<ContractRow>({ ...fields, rows: async () => rows }),
}))

const lines = (rows: readonly ContractRow[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

sourceContract('file, NDJSON', async (rows) => {
  const path = join(folder, 'rows.ndjson')
  await writeFile(path, lines(rows))
  return { source: file({ path, ...fields }) }
})

sourceContract('file, NDJSON packed', async (rows) => {
  const path = join(folder, 'rows.ndjson.gz')
  await writeFile(path, gzipSync(lines(rows)))
  return { source: file({ path, ...fields }) }
})

sourceContract('file, JSON array', async (rows) => {
  const path = join(folder, 'rows.json')
  await writeFile(path, JSON.stringify(rows))
  return { source: file({ path, ...fields }) }
})
