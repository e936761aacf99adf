// Processes of a test, as it sees them: forked, asked, killed by their own ids, and the trials that they run together.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { type History, joinHistories } from './history.ts'
import type { Commands, OpenOptions } from './process.ts'
import type { Kind, Plan } from './trial.ts'
import { type OpenedTruth, openTruth } from './truth.ts'

/** `npm run proof` sets it to 10, for 600 trials; PROOF=n runs n times as many as the ordinary run. */
export const PROOF = Number(process.env.PROOF ?? 1)
export const TRIALS = 60 * PROOF

export interface Worker extends Commands {
  readonly pid: number
  signal(name: NodeJS.Signals): void
  kill(): Promise<void>
}

const FILE = fileURLToPath(new URL('./process.ts', import.meta.url))
const workers = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of workers) child.kill('SIGKILL')
})

export function startWorker(): Worker {
  const child = fork(FILE, { execArgv: ['--import', 'tsx'], serialization: 'advanced' })
  workers.add(child)
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>()
  let last = 0
  let unheard: Error | null = null
  child.on('message', ({ id, result, error }: { id: number; result?: unknown; error?: string }) => {
    const waiter = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) waiter?.resolve(result)
    else if (waiter) waiter.reject(new Error(error))
    else unheard = new Error(error)
  })
  const gone = once(child, 'exit').then(() => {
    workers.delete(child)
    for (const { reject } of waiting.values()) reject(new Error('the process has ended'))
    waiting.clear()
  })
  const ask = (name: string, args: unknown[]) => {
    if (unheard) return Promise.reject(unheard)
    return new Promise<unknown>((resolve, reject) => {
      waiting.set(++last, { resolve, reject })
      child.send({ id: last, name, args })
    })
  }
  const own = {
    pid: child.pid as number,
    signal: (name: NodeJS.Signals) => void child.kill(name),
    async kill() {
      child.kill('SIGKILL')
      await gone
    },
  }
  return new Proxy(own as Worker, {
    get: (target, name: string) =>
      name in target ? target[name as keyof Worker] : (...args: unknown[]) => ask(name, args),
  })
}

export async function startWorkers(count: number): Promise<Worker[]> {
  const started = Array.from({ length: count }, startWorker)
  await Promise.all(started.map((worker) => worker.errors()))
  return started
}

export interface Scene {
  workers: readonly Worker[]
  redis: TestRedis
  truth: TestRedis
}

export interface OpenedScene {
  scene: Scene
  truth: OpenedTruth
  close(): Promise<void>
}

/** Two processes on a Redis of their own, and the source behind them. */
export async function openScene(): Promise<OpenedScene> {
  const [redis, source, workers] = await Promise.all([startRedis(), startRedis(), startWorkers(2)])
  const truth = openTruth(source.url)
  const close = async () => {
    truth.close()
    await Promise.all(workers.map((worker) => worker.kill()))
    await Promise.all([redis.stop(), source.stop()])
  }
  return { scene: { redis, truth: source, workers }, truth, close }
}

/** for all processes, or for each by its number */
export type Given = Partial<OpenOptions> | ((process: number) => Partial<OpenOptions>)

let prefixes = 0

/** Each process opens a cache of its own under one new prefix, which is given back; nothing of an earlier one is left in Redis. */
export async function openCaches(scene: Scene, given: Given = {}): Promise<string> {
  const { redis, truth, workers } = scene
  const prefix = `p${++prefixes}`
  await Promise.all([redis.call('FLUSHALL'), truth.call('FLUSHALL')])
  const common = { url: redis.url, truthUrl: truth.url, prefix, l1: false, heartbeatMs: 300, deadlineMs: 1_000 }
  const own = (process: number) => (typeof given === 'function' ? given(process) : given)
  await Promise.all(
    workers.map((worker, process) => worker.open({ ...common, mutant: null, ...own(process), process })),
  )
  return prefix
}

export async function closeCaches({ workers }: Scene): Promise<void> {
  await Promise.all(workers.map((worker) => worker.close()))
}

export interface TrialsOptions
  extends Partial<Pick<Plan, 'durationMs' | 'writes' | 'writer' | 'loadMs' | 'restMs' | 'readers'>> {
  kind: Kind | ((trial: number) => Kind)
  trials: number
  /** trials that run at the same time */
  atOnce?: number
  /** Runs beside them until they are over. */
  chaos?: (prefix: string, random: () => number) => Promise<void>
  /** at most between two disturbances */
  pauseMs?: number
  open?: Given
  /** Invalidates from outside of the processes, which only read then. */
  outside?: (plan: Plan, prefix: string) => Promise<History>
}

/** Runs trials in all processes, and reads what is left of each. */
export async function runTrials(scene: Scene, options: TrialsOptions): Promise<History> {
  const {
    atOnce = 30,
    chaos,
    durationMs = 70,
    kind,
    loadMs = 30,
    outside,
    pauseMs = 12,
    readers = 2,
    restMs = 6,
    trials,
    writer = null,
    writes = outside ? 0 : 2,
  } = options
  const prefix = await openCaches(scene, options.open)
  const random = randomFromSeed(seed)
  const histories: History[] = []
  const plans = Array.from({ length: trials }, (_, trial): Plan => {
    const kindOf = typeof kind === 'function' ? kind(trial) : kind
    return {
      trial,
      kind: kindOf,
      durationMs,
      writes,
      writer,
      loadMs,
      restMs,
      readers,
      seed: Math.floor(random() * 2 ** 31),
    }
  })
  let over = false
  const disturbing = (async () => {
    while (chaos && !over) {
      await chaos(prefix, random)
      await pause(random() * pauseMs)
    }
  })()
  try {
    for (let start = 0; start < trials; start += atOnce) {
      const some = plans.slice(start, start + atOnce)
      const beside = outside ? some.map((plan) => outside(plan, prefix)) : []
      histories.push(...(await Promise.all([...scene.workers.map((worker) => worker.trials(some)), ...beside])))
      histories.push(...(await Promise.all(scene.workers.map((worker) => worker.last(some)))))
    }
  } finally {
    over = true
    await disturbing
  }
  await closeCaches(scene)
  return joinHistories(histories)
}
