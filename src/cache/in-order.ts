// Steps of which each must be done when the next begins: one write where one server executes them in their order, one after the other where several do.
import type { Reply } from '../ports.ts'
import type { Run } from './control-mirror.ts'
import type { Commands } from './link.ts'

export type Step = (page: Commands) => void

/** Replies to all of the commands, in their order; error replies are values. */
export async function inOrder(run: Run, [first, ...others]: readonly [Step, ...Step[]]): Promise<readonly Reply[]> {
  let scattered = false
  const replies = await run((page) => {
    scattered = page.scattered === true
    first(page)
    if (!scattered) for (const step of others) step(page)
  })
  if (!scattered) return replies
  const all = [...replies]
  for (const step of others) all.push(...(await run(step)))
  return all
}
