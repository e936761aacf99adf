// `cachectl doctor`: flags to options, one look at everything, its report. A server that is not there is a finding too.
import { asCachectlError, CachectlError, EXIT } from '../../core/errors.ts'
import { safeJson } from '../../core/printable.ts'
import { redactUrl } from '../../ops/context.ts'
import { type DoctorOptions, type DoctorReport, doctor, unreachableDoctor } from '../../ops/doctor.ts'
import { renderDoctor } from '../../render/doctor.ts'
import type { Invocation } from '../command.ts'
import type { GlobalFlags } from '../flags.ts'
import { openProgress } from '../progress.ts'
import type { Session } from '../session.ts'

export interface DoctorFlags {
  full?: boolean
  /** milliseconds */
  within: number
  source?: boolean
  touch?: boolean
}

export async function doctorCommand(session: Session, { args, flags }: Invocation<DoctorFlags>): Promise<void> {
  if (args.length > 0)
    throw new CachectlError('USAGE', 'doctor takes no target: it looks at all there is', {
      hint: 'run `cachectl doctor`',
    })
  const progress = await openProgress(session, flags)
  session.emit = progress.emit
  const report = await examine(session, flags, {
    full: flags.full ?? false,
    withinMs: flags.within,
    source: flags.source ?? false,
    touch: flags.touch ?? false,
  })
  progress.end()
  if (!report.complete) session.exit(session.stoppedBy())
  session.exit(report.exitCode)
  if (session.format(flags) !== 'table') return session.out.write(`${safeJson(report)}\n`)
  if (!flags.quiet) return session.out.write(renderDoctor(report, await session.paint(flags)))
  if (!report.complete) throw session.signal.reason
  if (report.exitCode !== EXIT.done) await session.err.write(`doctor: ${inOneLine(report)}\n`)
}

/** @throws CachectlError for what is wrong with the command line or the config, not with the server */
async function examine(session: Session, flags: GlobalFlags, options: DoctorOptions): Promise<DoctorReport> {
  try {
    return await doctor(await session.context(flags), options)
  } catch (thrown) {
    const error = asCachectlError(thrown)
    const { config, redis } = await session.config(flags)
    if (
      session.signal.aborted ||
      redis === null ||
      (error.exitCode !== EXIT.unreachable && error.exitCode !== EXIT.denied)
    )
      throw thrown
    return unreachableDoctor(
      { config, clock: { now: Date.now } },
      { url: redactUrl(redis.url), from: redis.from },
      error,
    )
  }
}

function inOneLine({ findings }: DoctorReport): string {
  return findings
    .filter(({ severity }) => severity === 'critical')
    .map(({ id, evidence }) => `${id}: ${evidence}`)
    .join('; ')
}
