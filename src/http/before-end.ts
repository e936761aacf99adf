// Holds back the end of a response until something else is done, so that whoever has the whole response finds it done.
import type { ServerResponse } from 'node:http'

type Chunk = string | Uint8Array

/** `work` is asked for when the handler ends the response, by its status then; null: nothing is to be done. A rejection of it only ends the wait. */
export function beforeEnd(res: ServerResponse, work: (status: number) => Promise<unknown> | null): void {
  const { write, end } = res
  /** the last chunk: with it a client may have all that Content-Length says */
  let held: unknown[] | null = null
  let ending = false
  let released = false

  const writeHeld = (): boolean => {
    const args = held
    held = null
    return args === null || write.apply(res, args as never)
  }

  res.write = function (this: ServerResponse, chunk: Chunk, ...rest: unknown[]) {
    if (released || ending || !isChunk(chunk)) return write.apply(res, [chunk, ...rest] as never)
    const room = writeHeld()
    // The caller may use its buffer again.
    held = [typeof chunk === 'string' ? chunk : Buffer.from(chunk), ...rest]
    return room
  } as typeof res.write

  res.end = function (this: ServerResponse, ...args: unknown[]) {
    if (released) return end.apply(res, args as never)
    if (ending) return res
    ending = true
    const release = () => {
      released = true
      writeHeld()
      end.apply(res, args as never)
    }
    const done = work(res.statusCode)
    if (done === null) release()
    else {
      commitHead(res, held === null ? args : null)
      done.then(release, release)
    }
    return res
  } as typeof res.end
}

/** The head is settled now, as it would be if the end were not held back: a second answer of the handler must be the error that it always is. */
function commitHead(res: ServerResponse, args: readonly unknown[] | null): void {
  if (res.headersSent) return
  const [chunk, encoding] = args ?? []
  const counted = args !== null && !res.hasHeader('content-length') && !res.hasHeader('transfer-encoding')
  if (counted && res.statusCode !== 204 && res.statusCode !== 304) {
    const bytes = isChunk(chunk)
      ? Buffer.byteLength(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8')
      : 0
    res.setHeader('Content-Length', bytes)
  }
  res.writeHead(res.statusCode)
}

function isChunk(chunk: unknown): chunk is Chunk {
  return typeof chunk === 'string' || chunk instanceof Uint8Array
}
