// `cachectl why`: what a key is and what a read would do with it.
import { safeJson } from '../../core/printable.ts'
import { why } from '../../ops/why.ts'
import { renderWhy } from '../../render/why.ts'
import type { Invocation } from '../command.ts'
import type { Session } from '../session.ts'

export async function whyCommand(session: Session, { args, flags }: Invocation<object>): Promise<void> {
  const report = await why(await session.context(flags), args[0] ?? '')
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (flags.quiet) return
  const { stdoutIsTty, columns } = session.io
  await session.out.write(renderWhy(report, await session.paint(flags), stdoutIsTty ? columns : null))
}
