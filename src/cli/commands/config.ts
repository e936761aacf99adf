// `cachectl config show` and `config check`. Neither opens Redis or a source.
import { CachectlError, EXIT } from '../../core/errors.ts'
import { safeJson } from '../../core/printable.ts'
import { checkConfig } from '../../ops/config-check.ts'
import { showConfig } from '../../ops/config-show.ts'
import { checkTarget, redactUrl } from '../../ops/context.ts'
import { renderConfig, renderConfigCheck } from '../../render/config.ts'
import type { Invocation } from '../command.ts'
import type { Session } from '../session.ts'

export async function configShowCommand(session: Session, { flags }: Invocation<object>): Promise<void> {
  const { config } = await session.config(flags)
  if (!config) throw new CachectlError('CONFIG_NOT_FOUND', 'there is no cache.config.* here or above')
  const report = showConfig(config, redactUrl)
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (!flags.quiet) await session.out.write(renderConfig(report, await session.paint(flags)))
}

export async function configCheckCommand(session: Session, { flags }: Invocation<object>): Promise<void> {
  const report = checkConfig(await session.readConfig(flags), checkTarget)
  if (!report.ok) session.exit(EXIT.usage)
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (!flags.quiet || !report.ok) await session.out.write(renderConfigCheck(report, await session.paint(flags)))
}
