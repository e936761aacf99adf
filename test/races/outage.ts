// What every outage is held to: answers within the deadline and the load, and Redis in use again within 2 s of its return.
import { expect } from 'vitest'
import type { Answer } from './process.ts'
import type { Worker } from './processes.ts'

export const DEADLINE_MS = 150
/** What a busy machine may add to a time that is measured over IPC. */
export const SLACK_MS = 250
const BACK_WITHIN_MS = 2_000

/** The answer comes in time, whatever Redis does. */
export async function readInTime(worker: Worker, trial: number, loadMs = 20): Promise<Answer> {
  const answer = await worker.read(trial, loadMs)
  expect(answer.tookMs).toBeLessThan(DEADLINE_MS + loadMs + SLACK_MS)
  return answer
}

/** Resolves when the process reads from Redis again. */
export async function usesRedis(worker: Worker): Promise<void> {
  const poll = async () => (await readInTime(worker, 9_999, 0)).tier
  await expect.poll(poll, { timeout: BACK_WITHIN_MS, interval: 20 }).toBe('l2')
}
