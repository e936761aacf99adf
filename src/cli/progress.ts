// Chooses how progress is shown: NDJSON on stdout, a bar on a terminal, a line every few seconds elsewhere, nothing when quiet.
import { printable } from '../core/printable.ts'
import { ndjsonProgress, type ProgressSink, SILENT, type Spinner, textProgress } from '../render/progress.ts'
import type { GlobalFlags } from './flags.ts'
import type { Session } from './session.ts'

export async function openProgress(session: Session, flags: GlobalFlags): Promise<ProgressSink> {
  if (session.format(flags) === 'ndjson') return ndjsonProgress((text) => void session.out.write(text))
  if (flags.quiet) return SILENT
  return textProgress({
    line: (text) => session.note(printable(text)),
    now: Date.now,
    spinner: session.io.stderrIsTty ? await openSpinner(session, flags) : null,
  })
}

async function openSpinner(session: Session, flags: GlobalFlags): Promise<(text: string) => Spinner> {
  const { default: ora } = await import('ora')
  const color = flags.color && !session.io.env.NO_COLOR
  return (text) =>
    ora({ text, stream: session.io.stderr, discardStdin: false, ...(color ? {} : { color: false as const }) }).start()
}
