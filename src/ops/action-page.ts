// One page of a sweep's commands: few enough keys in each for a short call, and what all of them took of the server's time.
import type { Lane, Reply } from '../ports.ts'
import type { SweepAction } from './sweep.ts'

/** Keys of one command: few enough for a call of well under a millisecond. */
const KEYS_A_CALL = 64

export interface Answered {
  keys: readonly Buffer[]
  reply: Reply
}

/** `clustered`: the keys of one command must be of one slot. `busyMs`: null where the server does not tell its time. @throws CachectlError */
export async function runAction(
  lane: Lane,
  action: SweepAction,
  keys: readonly Buffer[],
  clustered: boolean,
): Promise<{ answers: Answered[]; busyMs: number | null }> {
  const size = !action.many || clustered ? 1 : KEYS_A_CALL
  const calls: (readonly Buffer[])[] = []
  for (let start = 0; start < keys.length; start += size) calls.push(keys.slice(start, start + size))
  const page = lane.page()
  page.add('TIME')
  for (const call of calls) action.add(page, call)
  page.add('TIME')
  const replies = await lane.run(page)
  const answers = calls.map((call, index) => ({ keys: call, reply: replies[index + 1] as Reply }))
  return { answers, busyMs: spentMs(replies[0], replies.at(-1)) }
}

/** Between two answers to TIME; null where it is refused. */
function spentMs(before: Reply | undefined, after: Reply | undefined): number | null {
  if (!Array.isArray(before) || !Array.isArray(after)) return null
  const [from, to] = [before, after].map((time) => Number(time[0]) * 1000 + Number(time[1]) / 1000)
  return Math.max(0, (to as number) - (from as number))
}
