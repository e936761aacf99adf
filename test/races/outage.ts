// What every outage is held to: answers within the deadline and the load, and Redis in use again within 2 s of its return.
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import { latenessMs } from './lateness.ts'
import type { Answer } from './process.ts'
import type { Worker } from './processes.ts'

export const DEADLINE_MS = 150
/** What timers and other work of the process may add. */
export const SLACK_MS = 250
const BACK_WITHIN_MS = 2_000

/** The answer comes in time, whatever Redis does. */
export async function readInTime(
  worker: Worker,
  trial: number,
  loadMs = 20,
  deadlineMs = DEADLINE_MS,
): Promise<Answer> {
  const answer = await worker.read(trial, loadMs)
  expect(answer.tookMs - answer.lateMs).toBeLessThan(deadlineMs + loadMs + SLACK_MS)
  return answer
}

/** Resolves when the process reads from Redis again: within 2 s, but for what the machine kept it, or this one, from running. */
export async function usesRedis(worker: Worker, deadlineMs = DEADLINE_MS): Promise<void> {
  const late = async () => latenessMs() + (await worker.latenessMs())
  const beganMs = performance.now() - (await late())
  while ((await readInTime(worker, 9_999, 0, deadlineMs)).tier !== 'l2') {
    expect(performance.now() - beganMs - (await late())).toBeLessThan(BACK_WITHIN_MS)
    await pause(20)
  }
}
