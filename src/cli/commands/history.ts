// `cachectl history`: the journal as a table, as one document, or as lines that go on.
import { CachectlError, EXIT } from '../../core/errors.ts'
import { printable, safeJson } from '../../core/printable.ts'
import type { OpenedContext } from '../../ops/context.ts'
import { follow, type HistoryOptions, type HistoryReport, history } from '../../ops/history.ts'
import type { HistoryEntry } from '../../ops/journal-read.ts'
import { renderHistory, renderHistoryLine } from '../../render/history.ts'
import type { Invocation } from '../command.ts'
import { openProgress } from '../progress.ts'
import { quietLine } from '../quiet-line.ts'
import type { Session } from '../session.ts'

export interface HistoryFlags {
  limit: number
  since?: string
  verb?: string
  target?: string
  follow?: boolean
}

export async function historyCommand(session: Session, { flags }: Invocation<HistoryFlags>): Promise<void> {
  if (flags.follow && session.format(flags) === 'json')
    throw new CachectlError('USAGE', '--follow never ends, and a JSON document does', {
      hint: 'cachectl history -f -o ndjson',
    })
  const { limit, since = null, verb = null, target = null } = flags
  const options: HistoryOptions = { limit, since, verb, target }
  const context = await session.context(flags)
  const report = await history(context, options)
  for (const note of report.notes) session.note(`! ${printable(note)}`)
  await (flags.follow ? followOn(session, flags, context, options, report) : showReport(session, flags, report))
}

async function showReport(
  session: Session,
  flags: Invocation<HistoryFlags>['flags'],
  report: HistoryReport,
): Promise<void> {
  if (!report.complete) session.exit(EXIT.partial)
  const format = session.format(flags)
  if (format === 'json') return session.out.write(`${safeJson(report)}\n`)
  if (format === 'ndjson') return session.out.write(lines(report.entries))
  if (flags.quiet) {
    const [note] = report.notes
    if (note !== undefined) await session.err.write(quietLine('history', note))
    return
  }
  const { stdoutIsTty, columns } = session.io
  await session.out.write(
    renderHistory(report, { paint: await session.paint(flags), widthColumns: stdoutIsTty ? columns : null }),
  )
}

function lines(entries: readonly HistoryEntry[]): string {
  return entries.map((entry) => `${safeJson(entry)}\n`).join('')
}

/** As a log: oldest first, a line as it comes. */
async function followOn(
  session: Session,
  flags: Invocation<HistoryFlags>['flags'],
  context: OpenedContext,
  options: HistoryOptions,
  report: HistoryReport,
): Promise<void> {
  const ndjson = session.format(flags) === 'ndjson'
  const paint = await session.paint(flags)
  const widthColumns = session.io.stdoutIsTty ? session.io.columns : null
  const show = (entry: HistoryEntry) =>
    session.out.write(ndjson ? lines([entry]) : renderHistoryLine(entry, { paint, widthColumns }))
  // Notes of a stream of JSON would be lines of it that are no runs.
  session.emit = ndjson ? () => undefined : (await openProgress(session, flags)).emit
  for (const entry of report.entries.toReversed()) await show(entry)
  for await (const entry of follow(context, { ...options, lastId: report.lastId })) await show(entry)
  session.exit(session.stoppedBy())
}
