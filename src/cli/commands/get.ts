// `cachectl get`: the value on stdout, what is known of it on stderr.
import { EXIT } from '../../core/errors.ts'
import { safeJson } from '../../core/printable.ts'
import { getEntry } from '../../ops/get.ts'
import { renderAbout, renderValue } from '../../render/entry.ts'
import type { Invocation } from '../command.ts'
import type { Session } from '../session.ts'

export interface GetFlags {
  raw?: boolean
}

export async function getCommand(session: Session, { args, flags }: Invocation<GetFlags>): Promise<void> {
  const context = await session.context(flags)
  const { raw, ...report } = await getEntry(context, args[0] ?? '')
  if (!report.found) session.exit(EXIT.partial)
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  const about = renderAbout({ ...report, raw }, await session.paint(flags))
  if (!flags.quiet) await session.err.write(about)
  else if (!report.found) await session.err.write(`${about.split('\n', 1)[0]}\n`)
  if (!report.found) return
  if (flags.raw && raw) await session.out.write(raw)
  else if (!flags.quiet) await session.out.write(renderValue({ ...report, raw }))
}
