// What is particular to files: numbers of bad lines, odd bytes, bounds.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { file } from '../../../src/adapters/sources/file.ts'
import type { Source } from '../../../src/ports.ts'
import { collect, readAll } from './source-contract.ts'

describe('files', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cachectl-files-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  async function written(name: string, content: string | Buffer): Promise<Source> {
    const path = join(folder, name)
    await writeFile(path, content)
    return file({ path })
  }

  test('bad lines are told by number, and the good ones go on', async () => {
    const bytes = Buffer.concat([
      Buffer.from('\uFEFF{"id":1}\r\n\n{"id":2\n{"id":"\uFFFD"}\n{"id":"'),
      Buffer.from([0xff]),
      Buffer.from('"}\n[]\n{"id":3}\n{"id"'),
    ])
    const { ids, errors } = await readAll(await written('odd.ndjson', bytes))
    expect(ids).toEqual([1, '\uFFFD', 3])
    expect(errors.map((error) => error.slice(0, 20))).toEqual([
      expect.stringMatching(/^line 3: Expected/),
      'line 5: it is not va',
      'line 6: it is no obj',
      expect.stringMatching(/^line 8: Expected/),
    ])
  })

  test('lines and characters that lie across chunks', async () => {
    const rows = Array.from({ length: 300 }, (_, id) => ({ id, text: 'é😀'.repeat(1 + ((id * 37) % 900)) }))
    const lines = rows.map((row) => JSON.stringify(row)).join('\n')
    for (const source of [await written('wide.ndjson', lines), await written('wide.jsonl.gz', gzipSync(lines))]) {
      expect((await collect(source)).map((row) => row.row)).toEqual(rows)
    }
  })

  test.each<[string, string, string | Buffer | null, string, RegExp]>([
    ['a file that is not there', 'none.ndjson', null, 'SOURCE_FAILED', /ENOENT/],
    ['an object instead of an array', 'object.json', '{"id":1}', 'SOURCE_INVALID', /does not hold an array/],
    ['broken JSON', 'broken.json', '[{"id":1}', 'SOURCE_FAILED', /JSON/],
    [
      'gzip that is cut short',
      'short.ndjson.gz',
      gzipSync('{"id":1}\n'.repeat(9_999)).subarray(0, 60),
      'SOURCE_FAILED',
      /unexpected end/,
    ],
    [
      'an array that is too large',
      'large.json.gz',
      gzipSync(Buffer.alloc(65 * 1024 * 1024, ' ')),
      'SOURCE_INVALID',
      /larger than 64 MB/,
    ],
    [
      'a line that is too long',
      'long.ndjson.gz',
      gzipSync(Buffer.alloc(65 * 1024 * 1024, ' ')),
      'SOURCE_FAILED',
      /longer than 64 MB/,
    ],
  ])('%s', async (_, name, content, code, message) => {
    const source = content === null ? file({ path: join(folder, name) }) : await written(name, content)
    await expect(collect(source)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })

  test('strategies that a file cannot do, and a name that says nothing', async () => {
    await expect(collect(await written('some.ndjson', ''), { strategy: 'recent' })).rejects.toMatchObject({
      code: 'SOURCE_INVALID',
    })
    expect(() => file({ path: 'rows.csv' })).toThrow(/does not say what it holds/)
  })
})
