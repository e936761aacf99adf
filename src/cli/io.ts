// The streams and the environment of a run, so that a test can give others. The only file that reads `process`.
import type { Readable, Writable } from 'node:stream'
import type { CachectlError } from '../core/errors.ts'

export interface Io {
  stdin: Readable & { isTTY?: boolean }
  stdout: Writable
  stderr: Writable
  stdoutIsTty: boolean
  stderrIsTty: boolean
  /** columns of the terminal; 80 where there is none */
  columns: number
  cwd: string
  env: Readonly<Record<string, string | undefined>>
  /** Calls back at the first SIGINT and SIGTERM; a second one ends the process at once. Returns how to stop listening. */
  onSignal(listener: (signal: 'SIGINT' | 'SIGTERM') => void): () => void
}

export function systemIo(): Io {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    stdoutIsTty: process.stdout.isTTY === true,
    stderrIsTty: process.stderr.isTTY === true,
    columns: process.stdout.columns || 80,
    cwd: process.cwd(),
    env: process.env,
    onSignal(listener) {
      const stop = () => {
        process.off('SIGINT', interrupt)
        process.off('SIGTERM', terminate)
      }
      const interrupt = () => {
        stop()
        listener('SIGINT')
      }
      const terminate = () => {
        stop()
        listener('SIGTERM')
      }
      process.on('SIGINT', interrupt)
      process.on('SIGTERM', terminate)
      return stop
    },
  }
}

/** What the answer is written to. A reader that went away (`| head -1`) is no error: the run stops and says nothing. */
export interface Output {
  write(text: string | Uint8Array): Promise<void>
  readonly closed: boolean
}

export function createOutput(stream: Writable, onClosed: (error: CachectlError | null) => void): Output {
  let closed = false
  stream.on('error', (error: NodeJS.ErrnoException) => {
    closed = true
    onClosed(null)
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error
  })
  return {
    get closed() {
      return closed
    },
    write: (text) =>
      new Promise((resolve) => {
        if (closed || text.length === 0) return resolve()
        stream.write(text, () => resolve())
      }),
  }
}
