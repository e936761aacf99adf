// The rows of a file: lines of JSON as they stream by, or one JSON array of bounded size; gzip undone by the way.
import { isUtf8 } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { BLANK, UnreadableRow } from './row-stream.ts'
import { sourceInvalid } from './source-error.ts'

const CHUNK_BYTES = 256 * 1024
const LINE_MAX_BYTES = 64 * 1024 * 1024
const ARRAY_MAX_BYTES = 64 * 1024 * 1024
const LINE_FEED = 0x0a

/** The bytes of the file, unpacked. */
function openBytes(path: string): AsyncIterable<Buffer> {
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES })
  if (!path.endsWith('.gz')) return file
  const bytes: Readable = pipeline(file, createGunzip({ chunkSize: CHUNK_BYTES }), () => {}) // its error is that of the iteration
  return bytes
}

function parseLine(bytes: Buffer): unknown {
  const text = bytes.toString('utf8')
  // Replacement characters may stand in the file itself; only then is the slower question asked.
  if (text.includes('\uFFFD') && !isUtf8(bytes)) return new UnreadableRow('it is not valid UTF-8')
  if (text.trim() === '') return BLANK
  try {
    return JSON.parse(text)
  } catch (thrown) {
    return new UnreadableRow((thrown as Error).message)
  }
}

function withoutMark(chunk: Buffer): Buffer {
  return chunk.length >= 3 && chunk.readUIntBE(0, 3) === 0xefbbbf ? chunk.subarray(3) : chunk
}

/** One element per line, in arrays, so that positions are line numbers. */
export async function* readLines(path: string): AsyncGenerator<unknown[]> {
  let pieces: Buffer[] = []
  let piecesBytes = 0
  let first = true
  for await (const read of openBytes(path)) {
    const chunk = first ? withoutMark(read) : read
    first = false
    const lines: unknown[] = []
    let start = 0
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      const line = chunk.subarray(start, end)
      lines.push(parseLine(pieces.length === 0 ? line : Buffer.concat([...pieces, line])))
      pieces = []
      piecesBytes = 0
      start = end + 1
    }
    pieces.push(chunk.subarray(start))
    piecesBytes += chunk.length - start
    if (piecesBytes > LINE_MAX_BYTES)
      throw new Error('a line is longer than 64 MB; is this a file of one JSON object a line?')
    yield lines
  }
  if (piecesBytes > 0) yield [parseLine(Buffer.concat(pieces))]
}

/** The elements of the one array that the file holds. */
export async function* readArray(path: string): AsyncGenerator<unknown[]> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of openBytes(path)) {
    chunks.push(chunk)
    sizeBytes += chunk.length
    if (sizeBytes > ARRAY_MAX_BYTES) {
      throw sourceInvalid(
        `the JSON file "${path}" is larger than 64 MB, too large to be read at once`,
        'write one object a line, which streams: `jq -c ".[]" rows.json > rows.ndjson`',
      )
    }
  }
  const bytes = withoutMark(Buffer.concat(chunks))
  if (!isUtf8(bytes)) throw new Error('it is not valid UTF-8')
  const rows: unknown = JSON.parse(bytes.toString('utf8'))
  if (!Array.isArray(rows))
    throw sourceInvalid(
      `the JSON file "${path}" does not hold an array`,
      'for one object a line, name it .ndjson or set `format`',
    )
  yield rows
}
