// Guarantees 1 and 5 on a Sentinel set: the primary is killed, stalled, or replaced while it lives, beside library processes and the command line. The library goes
// on with its successor by itself, and what was said to be applied is not seen again by anybody, at either of them.
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { randomFromSeed, seed } from '../seed.ts'
import { startRedis } from '../servers.ts'
import { startSentinel, type Takeover, type TestSentinel } from '../topologies.ts'
import { emptyHistory, type History, type InvalidationEvent, monotonicMs, violationsOf } from './history.ts'
import { openOutside } from './outside.ts'
import type { OpenOptions } from './process.ts'
import { closeCaches, openCaches, type Scene, startWorkers, type Worker } from './processes.ts'
import { type OpenedTruth, openTruth } from './truth.ts'

let scene: Scene
let set: TestSentinel
let truth: OpenedTruth

beforeAll(async () => {
  const [started, source, workers] = await Promise.all([startSentinel(), startRedis(), startWorkers(2)])
  set = started
  truth = openTruth(source.url)
  const first = await set.primary()
  const call: typeof first.call = async (...args) => (await set.primary()).call(...args)
  scene = { redis: { ...first, url: set.url, call }, truth: source, workers }
})
afterAll(async () => {
  truth.close()
  await Promise.all(scene.workers.map((worker) => worker.kill()))
  await Promise.all([set.stop(), scene.truth.stop()])
})

const TRIALS = 6
/** The first ones are invalidated by their keys. */
const tagOf = (trial: number): string | undefined => (trial < 3 ? undefined : `g${trial}`)
const random = randomFromSeed(seed)

/** What goes on in all processes while another primary takes over. */
interface Scenario {
  history: History
  prefix: string
  over: boolean
}

const readOn = async (scenario: Scenario, process: number, trial: number): Promise<void> => {
  const worker = scene.workers[process] as Scene['workers'][number]
  while (!scenario.over) {
    const startMs = monotonicMs()
    const { value } = await worker.read(trial, random() * 30, tagOf(trial))
    const { of, version } = value as { of: number; version: number }
    scenario.history.reads.push({ trial, of, version, startMs, process })
    await pause(random() * 20)
  }
}

const invalidateOn = async (scenario: Scenario, process: number, trial: number): Promise<void> => {
  const worker = scene.workers[process] as Scene['workers'][number]
  while (!scenario.over) {
    const { status, version } = await worker.write(trial, tagOf(trial))
    const event = { trial, version, endMs: monotonicMs(), process, status }
    scenario.history.invalidations.push(event as InvalidationEvent)
    await pause(random() * 300)
  }
}

/** `cachectl invalidate` again and again, each on connections of its own; where it does not say that it is applied, it is taken to have done nothing. */
const commandOn = async (scenario: Scenario, trial: number): Promise<void> => {
  const { history, prefix } = scenario
  while (!scenario.over) {
    const version = await truth.write(trial)
    const outside = openOutside(set.url, { l1: false, truth, loadMs: 0, trials: TRIALS, seed })
    const kind = tagOf(trial) === undefined ? 'key' : 'late-tag'
    const applied = await outside.invalidate({ trial, kind }, prefix).then(
      (report) => report.applied,
      () => false,
    )
    if (applied) history.invalidations.push({ trial, version, endMs: monotonicMs(), process: -1, status: 'applied' })
    await outside.close()
    await pause(random() * 200)
  }
}

/** Until so much happened after it was over, or something that may not. */
const enough = ({ reads, invalidations }: History, overMs: number): boolean => {
  const after = invalidations.filter(({ endMs, status }) => endMs > overMs && status === 'applied')
  const [first] = after.filter(({ process }) => process < 0)
  if (first === undefined || after.filter(({ process }) => process >= 0).length < 10) return false
  return reads.filter(({ startMs }) => startMs > first.endMs).length > 100
}

const WITHIN_MS = 60_000

const during = async (change: () => Promise<unknown>, naive = false): Promise<History & { goesOn: boolean }> => {
  const mutant = naive ? 'any primary' : null
  const prefix = await openCaches(scene, { deadlineMs: 500, l1: true, mutant })
  const scenario: Scenario = { history: emptyHistory(), prefix, over: false }
  const { history } = scenario
  const trials = Array.from({ length: TRIALS }, (_, trial) => trial)
  // Each trial has one who invalidates: another one would make good what the first did where nobody reads.
  const everybody = trials.flatMap((trial) => [
    ...scene.workers.map((_, process) => readOn(scenario, process, trial)),
    trial % 3 === 2 ? commandOn(scenario, trial) : invalidateOn(scenario, trial % 3, trial),
  ])
  let goesOn = false
  try {
    await pause(300)
    await change()
    const overMs = monotonicMs()
    while (!goesOn && monotonicMs() < overMs + WITHIN_MS && violationsOf(history).length === 0) {
      await pause(50)
      goesOn = enough(history, overMs)
    }
  } finally {
    scenario.over = true
    await Promise.all(everybody)
  }
  await closeCaches(scene)
  return { ...history, goesOn }
}

/** While it lives, the old primary does not learn of it. */
const beside = async (change: () => Promise<Takeover>, naive = false): ReturnType<typeof during> => {
  const taken: Takeover[] = []
  const history = await during(async () => taken.push(await change()), naive)
  for (const { end } of taken) await end()
  return history
}

const expectTrue = (history: Awaited<ReturnType<typeof during>>): void => {
  expect(violationsOf(history).slice(0, 3)).toEqual([])
  expect(history.goesOn).toBe(true)
}

const TIMEOUT = { timeout: 150_000 }

it(`replaced while it lives: both answer, and nobody believes the old one (seed ${seed})`, TIMEOUT, async () => {
  expectTrue(await beside(() => set.promote()))
})

it(`stalled, and back when another one is primary (seed ${seed})`, TIMEOUT, async () => {
  expectTrue(await beside(() => set.stallPrimary()))
})

it('a process that believes it for as long as it answers is caught', TIMEOUT, async () => {
  expect(violationsOf(await beside(() => set.promote(), true)).length).toBeGreaterThan(0)
})

/** What a process reads first that was stopped while another primary took over, and something was invalidated there. */
const readWhenBack = async (mutant: OpenOptions['mutant']): Promise<unknown> => {
  const [stopped] = scene.workers as [Worker]
  const prefix = await openCaches(scene, { deadlineMs: 5_000, mutant })
  await stopped.read(1, 0)
  stopped.signal('SIGSTOP')
  const outside = openOutside(set.url, { l1: false, truth, loadMs: 0, trials: TRIALS, seed })
  let reading: ReturnType<Worker['read']>
  let taken: Takeover
  try {
    taken = await set.promote()
    await truth.write(1)
    // By who was never at the old one, where the entry stays.
    expect((await outside.invalidate({ trial: 1, kind: 'key' }, prefix)).applied).toBe(true)
    reading = stopped.read(1, 0)
  } finally {
    stopped.signal('SIGCONT')
    await outside.close()
  }
  const { value } = await reading
  await closeCaches(scene)
  await taken.end()
  return (value as { version: unknown }).version
}

it('a process that was stopped over it asks before it reads on; one that does not is caught', TIMEOUT, async () => {
  expect(await readWhenBack(null)).toBe(1)
  expect(await readWhenBack('any primary')).toBe(0)
})

it(`killed: nothing that was invalidated comes back (seed ${seed})`, TIMEOUT, async () => {
  expectTrue(await during(() => set.killPrimary()))
})
