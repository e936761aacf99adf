// A file of rows as a source: NDJSON (.ndjson, .jsonl) or a JSON array (.json), plain or with .gz.
import type { Row, Source } from '../../ports.ts'
import { readArray, readLines } from './file-rows.ts'
import { createIdentify, createRowFilter, createRowTaker, type RowFields, streamPages } from './row-stream.ts'
import { sourceInvalid } from './source-error.ts'

export interface FileOptions {
  /** relative to the folder where the command runs; `.gz` is unpacked */
  path: string
  /** default: by the name; `.json` is an array, `.ndjson` and `.jsonl` have one object a line */
  format?: 'ndjson' | 'json'
  /** default `id` */
  id?: string | ((row: Row) => unknown)
  updatedAt?: string | ((row: Row) => unknown)
  tenant?: string | ((row: Row) => unknown)
}

function formatOf({ path, format }: FileOptions): 'ndjson' | 'json' {
  const extension = /\.(ndjson|jsonl|json)(\.gz)?$/i.exec(path)?.[1]?.toLowerCase()
  if (format !== undefined) return format
  if (extension === undefined)
    throw sourceInvalid(
      `the name of "${path}" does not say what it holds`,
      "set `format: 'ndjson'` or `format: 'json'`",
    )
  return extension === 'json' ? 'json' : 'ndjson'
}

/**
 * Rows of a file. Lines of JSON are streamed in constant memory, a line that cannot be read is a row error with its number; an array is
 * read at once, up to 64 MB. Strategies `all`, in the order of the file, and `ids`.
 */
export function file(options: FileOptions): Source {
  if (typeof options.path !== 'string' || options.path === '') throw sourceInvalid('a file source needs `path`')
  const format = formatOf(options)
  const fields: RowFields = options
  const take = createRowTaker(fields)
  const what = `reading file "${options.path}"`
  const open = () => (format === 'json' ? readArray(options.path) : readLines(options.path))
  return {
    kind: 'file',
    hasTenants: options.tenant !== undefined,
    reads: 'stream',
    strategies: ['all', 'ids'],
    identify: createIdentify(fields),
    async *select(selection) {
      if (selection.strategy !== 'all' && selection.strategy !== 'ids') {
        throw sourceInvalid(`a file cannot be read by strategy "${selection.strategy}"`, 'use strategy `all` or `ids`')
      }
      const filter = createRowFilter(selection, fields, selection.strategy === 'ids' ? (selection.ids ?? []) : null)
      yield* streamPages(open, selection, { what, unit: format === 'json' ? 'row' : 'line', take, filter })
    },
  }
}
