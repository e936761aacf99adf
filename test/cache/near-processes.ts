// Real processes with L1 for tests, each ended by its own id.
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { History, Request } from './near-child.ts'
import type { ReaderOptions, Seen } from './near-reader.ts'

const CHILD = fileURLToPath(new URL('./near-child.ts', import.meta.url))

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never

export interface NearProcess {
  pid: number
  read(...names: readonly string[]): Promise<Seen[]>
  spin(names: readonly string[], readers: number): Promise<void>
  history(): Promise<History>
  trusted(): Promise<boolean>
  /** Closes its cache and ends it. */
  close(): Promise<void>
  kill(): Promise<void>
}

export async function startProcess(url: string, options: ReaderOptions = {}): Promise<NearProcess> {
  const child = fork(CHILD, { execArgv: ['--import', 'tsx'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  let ids = 0
  child.on('message', ({ id, result, error }: { id: number; result: unknown; error?: string }) => {
    if (error === undefined) waiting.get(id)?.resolve(result)
    else waiting.get(id)?.reject(new Error(error))
    waiting.delete(id)
  })
  child.on('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error('the process has ended'))
  })
  const ask = <T>(request: WithoutId<Request>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      const id = ids++
      waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      child.send({ id, ...request })
    })
  await ask({ do: 'open', url, options })
  return {
    pid: child.pid as number,
    read: (...names) => ask({ do: 'read', names }),
    spin: (names, readers) => ask({ do: 'spin', names, readers }),
    history: () => ask({ do: 'history' }),
    trusted: () => ask({ do: 'trusted' }),
    close: async () => {
      await ask({ do: 'close' })
      await end(child)
    },
    kill: () => end(child),
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
}
