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
      let signalled = false
      const stop = () => {
        process.off('SIGINT', hear)
        process.off('SIGTERM', hear)
      }
      // Kept after the first signal: packages that restore the cursor end the process when nobody else listens.
      const hear = (signal: 'SIGINT' | 'SIGTERM') => {
        if (!signalled) {
          signalled = true
          return listener(signal)
        }
        stop()
        process.kill(process.pid, signal)
      }
      process.on('SIGINT', hear)
      process.on('SIGTERM', hear)
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
