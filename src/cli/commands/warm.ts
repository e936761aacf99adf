// `cachectl warm`: flags to options, one run, its report.
import { createReadStream } from 'node:fs'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { CachectlError } from '../../core/errors.ts'
import { safeJson } from '../../core/printable.ts'
import { untilStopped } from '../../ops/until-stopped.ts'
import { warm } from '../../ops/warm.ts'
import { planWarm, type WarmOptions } from '../../ops/warm-plan.ts'
import type { Strategy } from '../../ports.ts'
import { renderWarm } from '../../render/warm.ts'
import type { Invocation } from '../command.ts'
import { openProgress } from '../progress.ts'
import { quietLine } from '../quiet-line.ts'
import type { Session } from '../session.ts'

export interface WarmFlags {
  strategy?: Strategy
  ids?: string
  critical?: boolean
  missing?: boolean
  refresh?: boolean
  limit?: number
  since?: string
  concurrency: number
  batch: number
  rate?: number
  ifLocked: 'fail' | 'skip' | 'wait'
  dryRun?: boolean
}

export async function warmCommand(session: Session, { args, flags }: Invocation<WarmFlags>): Promise<void> {
  const {
    ids: idsFlag,
    dryRun = false,
    strategy,
    critical,
    missing,
    refresh,
    limit,
    since,
    rate,
    concurrency,
    batch,
    ifLocked,
    tenant,
  } = flags
  const ids = idsFlag === undefined ? undefined : await untilStopped(readIds(session, idsFlag), session.signal, 0)
  const given = { strategy, ids, critical, missing, refresh, limit, since, rate, tenant }
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  const options: WarmOptions = { targets: args, concurrency, batch, ifLocked, dryRun, ...set }
  const { config } = await session.config(flags)
  if (!config)
    throw new CachectlError(
      'CONFIG_NOT_FOUND',
      'warm needs a cache.config.*: it says what to load, and there is none here or above',
    )
  const plan = planWarm(config, options, Date.now())
  const context = await session.context(flags)
  const progress = await openProgress(session, flags)
  session.emit = progress.emit
  const report = await warm(context, context.control(), plan, options)
  progress.end()
  session.exit(report.exitCode)
  if (session.format(flags) !== 'table')
    return session.out.write(
      `${safeJson(session.format(flags) === 'json' ? report : { event: 'report', ...report })}\n`,
    )
  const { stdoutIsTty, columns } = session.io
  const text = renderWarm(report, { paint: await session.paint(flags), widthColumns: stdoutIsTty ? columns : null })
  if (!flags.quiet) return session.out.write(text)
  const [first] = report.problems
  if (!report.ok) await session.err.write(quietLine('warm', first?.message ?? `${report.totals.failed} rows failed`))
}

/** `1,2,3`, a file with one id a line, or `-`. */
async function readIds(session: Session, text: string): Promise<string[]> {
  const ids =
    text === '-'
      ? await readLines(session.io.stdin)
      : /^[^,]*[/\\.][^,]*$/.test(text)
        ? await readFile(session, text)
        : text.split(',')
  const given = ids.map((id) => id.trim()).filter((id) => id !== '')
  if (given.length === 0)
    throw new CachectlError('USAGE', '--ids names no id', {
      hint: 'give 1,2,3, a file with one id a line, or - for standard input',
    })
  return [...new Set(given)]
}

async function readFile(session: Session, path: string): Promise<string[]> {
  try {
    return await readLines(createReadStream(resolve(session.io.cwd, path)))
  } catch (thrown) {
    throw new CachectlError('USAGE', `cannot read ids from ${path}: ${(thrown as Error).message}`)
  }
}

async function readLines(stream: NodeJS.ReadableStream): Promise<string[]> {
  const lines: string[] = []
  for await (const line of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) lines.push(line)
  return lines
}
