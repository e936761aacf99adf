// Holds back the end of a response until something else is done, so that whoever has the whole response finds it done.
import type { ServerResponse } from 'node:http'
import { deafen } from './deafen.ts'

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
    if (released || !isChunk(chunk)) return write.apply(res, [chunk, ...rest] as never)
    if (ending) return true
    const room = writeHeld()
    // The caller may use its buffer again.
    held = [typeof chunk === 'string' ? chunk : Buffer.from(chunk), ...rest]
    return room
  } as typeof res.write

  res.end = function (this: ServerResponse, ...args: unknown[]) {
    if (released) return end.apply(res, args as never)
    if (ending) return res
    ending = true
    const { statusCode } = res
    const release = () => {
      released = true
      res.statusCode = statusCode
      writeHeld()
      end.apply(res, args as never)
    }
    const done = work(statusCode)
    if (done === null) release()
    else {
      // A handler that answers twice must not change the answer that waits.
      deafen(res, () => released)
      done.then(release, release)
    }
    return res
  } as typeof res.end
}

function isChunk(chunk: unknown): chunk is Chunk {
  return typeof chunk === 'string' || chunk instanceof Uint8Array
}
