// `cachectl init`: one file, and what to type next.
import { safeJson } from '../../core/printable.ts'
import { initConfig } from '../../ops/init.ts'
import type { Invocation } from '../command.ts'
import type { Session } from '../session.ts'

export interface InitFlags {
  force?: boolean
}

export async function initCommand(session: Session, { flags }: Invocation<InitFlags>): Promise<void> {
  const report = initConfig({ cwd: session.io.cwd, force: flags.force ?? false })
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (flags.quiet) return
  await session.out.write(
    `${report.replaced ? 'Replaced' : 'Wrote'} ${report.file} (prefix ${report.prefix})\nNext: say in it where your rows are, then run \`cachectl config check\`\n`,
  )
}
