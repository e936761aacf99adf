// Streams that keep what is written, and a run of the function behind the programs.
import { Readable, Writable } from 'node:stream'
import type { Io } from '../../src/cli/io.ts'
import { run } from '../../src/cli/program.ts'

export interface TestIo {
  io: Io
  stdout(): string
  stderr(): string
  signal(name: 'SIGINT' | 'SIGTERM'): void
}

export function testIo(given: Partial<Io> & { input?: string } = {}): TestIo {
  const listeners = new Set<(name: 'SIGINT' | 'SIGTERM') => void>()
  const written = { stdout: '', stderr: '' }
  const keep = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        written[name] += chunk.toString('latin1')
        done()
      },
    })
  const { input = '', ...more } = given
  const io: Io = {
    stdin: Readable.from([input]),
    stdout: keep('stdout'),
    stderr: keep('stderr'),
    stdoutIsTty: false,
    stderrIsTty: false,
    columns: 80,
    cwd: process.cwd(),
    env: {},
    onSignal(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    onUncaught: () => {},
    ...more,
  }
  const text = (name: 'stdout' | 'stderr') => Buffer.from(written[name], 'latin1').toString()
  return {
    io,
    stdout: () => text('stdout'),
    stderr: () => text('stderr'),
    signal: (name) => {
      for (const listener of listeners) listener(name)
    },
  }
}

/** One command line, from parsing to the exit code, in this process. */
export async function cachectl(argv: readonly string[], given: Parameters<typeof testIo>[0] = {}) {
  const test = testIo(given)
  const exitCode = await run(argv, test.io)
  return { exitCode, stdout: test.stdout(), stderr: test.stderr() }
}
