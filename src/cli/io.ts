// The streams and the environment of a run, so that a test can give others. The only file that reads `process`.
import type { Readable, Writable } from 'node:stream'

export interface Io {
  stdin: Readable & { isTTY?: boolean }
  stdout: OutputStream
  stderr: Writable
  stdoutIsTty: boolean
  /** a terminal that says how wide it is: nothing can be redrawn on others */
  stderrIsTty: boolean
  /** columns of the terminal; 80 where there is none */
  columns: number
  cwd: string
  env: Readonly<Record<string, string | undefined>>
  /** Calls back at the first SIGINT and SIGTERM; a second one ends the process at once. Returns how to stop listening. */
  onSignal(listener: (signal: 'SIGINT' | 'SIGTERM') => void): () => void
  /** Calls back with what nobody caught, to the end of the process: clients of the user's config fail in the background. */
  onUncaught(listener: (thrown: unknown) => void): void
}

/** What an answer needs of a stream. */
export interface OutputStream {
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown
  write(text: string | Uint8Array, done: (error?: Error | null) => void): unknown
}

export function systemIo(): Io {
  const { stderr, stdout } = process
  const write = stdout.write.bind(stdout)
  // stdout is for the answer alone: what the user's config and its clients log, whenever they do, goes where logs go.
  stdout.write = stderr.write.bind(stderr)
  return {
    stdin: process.stdin,
    stdout: { on: stdout.on.bind(stdout), write },
    stderr,
    stdoutIsTty: stdout.isTTY === true,
    stderrIsTty: stderr.isTTY === true && stderr.columns > 0,
    columns: stdout.columns || 80,
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
    onUncaught(listener) {
      process.on('uncaughtException', listener)
    },
  }
}

/** What the answer is written to. */
export interface Output {
  write(text: string | Uint8Array): Promise<void>
  /** What was given to it by now has been written, or never will be. */
  written(): Promise<void>
  /** Nothing is written any more. */
  close(): void
  readonly closed: boolean
}

/** `onBroken` is told once why nothing more can be written; null: the reader went away (`| head -1`), which is no error. */
export function createOutput(stream: OutputStream, onBroken: (error: Error | null) => void): Output {
  let closed = false
  let last = Promise.resolve()
  const broken = (error: NodeJS.ErrnoException) => {
    if (closed) return
    closed = true
    onBroken(error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED' ? null : error)
  }
  stream.on('error', broken)
  return {
    get closed() {
      return closed
    },
    close() {
      closed = true
    },
    written: () => last,
    write(text) {
      if (closed || text.length === 0) return last
      last = new Promise((resolve) => {
        stream.write(text, (error) => {
          if (error) broken(error)
          resolve()
        })
      })
      return last
    },
  }
}
