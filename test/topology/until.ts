// Waiting for what a topology is to become, and for the reason where it does not.
import { setTimeout as pause } from 'node:timers/promises'
import type { TestRedis } from '../servers.ts'

const SETTLED_WITHIN_MS = 30_000

/** @throws the last that was wrong, with what was waited for */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + SETTLED_WITHIN_MS
  for (let wrong: unknown = null; ; ) {
    try {
      if (await holds()) return
    } catch (error) {
      wrong = error
    }
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`, { cause: wrong })
    await pause(25)
  }
}

/** A replica that has all of its primary. */
export async function inStep(node: TestRedis): Promise<void> {
  await until('a replica is in step', async () => ((await node.call('ROLE')) as unknown[])[3] === 'connected')
}
