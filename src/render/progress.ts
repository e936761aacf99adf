// Events of a run as NDJSON, as lines for a log, or as nothing. The bar of a terminal is drawn from the same state.
import { safeJson } from '../core/printable.ts'
import { formatCount, formatDuration } from '../core/units.ts'
import type { Emit, ProgressEvent } from '../ports.ts'

/** Time between two lines of progress where there is no terminal. */
const LINE_EVERY_MS = 5_000

export interface ProgressState {
  task: string
  unit: string
  done: number
  total: number | null
  startedAtMs: number
  errors: number
}

export interface ProgressSink {
  emit: Emit
  /** Clears what is on the screen. */
  end(): void
}

export interface Spinner {
  text: string
  stop(): void
}

export interface ProgressOptions {
  /** a line for people, without its newline */
  line: (text: string) => void
  now: () => number
  /** draws and redraws one line; null where there is no terminal */
  spinner: ((text: string) => Spinner) | null
}

export const SILENT: ProgressSink = { emit: () => undefined, end: () => undefined }

export function ndjsonProgress(write: (text: string) => void): ProgressSink {
  return { emit: (event) => write(`${safeJson(plainEvent(event))}\n`), end: () => undefined }
}

function plainEvent(event: ProgressEvent): unknown {
  if (event.event !== 'failure') return event
  const { code, message, hint, exitCode } = event.error
  return { event: 'failure', error: { code, message, hint, exitCode } }
}

export function textProgress({ line, now, spinner }: ProgressOptions): ProgressSink {
  let state: ProgressState | null = null
  let shown: Spinner | null = null
  let lastLineMs = now()
  const clear = () => {
    shown?.stop()
    shown = null
  }
  const show = () => {
    if (!state) return
    const text = describeProgress(state, now())
    if (spinner) {
      if (shown) shown.text = text
      else shown = spinner(text)
    } else if (now() - lastLineMs >= LINE_EVERY_MS) {
      lastLineMs = now()
      line(text)
    }
  }
  const emit: Emit = (event) => {
    if (event.event === 'start') {
      state = { task: event.task, unit: event.unit, done: 0, total: event.total, startedAtMs: now(), errors: 0 }
      show()
    } else if (event.event === 'progress' && state) {
      if (state.task !== event.task) state = { ...state, task: event.task, total: null, startedAtMs: now(), errors: 0 }
      state.done = event.done
      show()
    } else if (event.event === 'row-error' && state) {
      state.errors++
    } else if (event.event === 'end') {
      clear()
      state = null
    } else if (event.event === 'note') {
      clear()
      line(event.message)
    }
  }
  return { emit, end: clear }
}

const BAR_CELLS = 20

/** `detail:city  ████████░░  62 %  84,000 of 135,000 rows  21,000/s  2 s left` */
export function describeProgress(
  { task, unit, done, total, startedAtMs, errors }: ProgressState,
  nowMs: number,
): string {
  const elapsedMs = Math.max(1, nowMs - startedAtMs)
  const rate = (done / elapsedMs) * 1000
  const parts = [task]
  if (total !== null && total > 0) {
    const share = Math.min(1, done / total)
    const filled = Math.round(share * BAR_CELLS)
    parts.push(`${'█'.repeat(filled)}${'░'.repeat(BAR_CELLS - filled)} ${Math.floor(share * 100)} %`)
    parts.push(`${formatCount(done)} of ${formatCount(total)} ${unit}`)
  } else {
    parts.push(`${formatCount(done)} ${unit}`)
  }
  if (done > 0) parts.push(`${formatCount(Math.round(rate))}/s`)
  if (total !== null && done > 0 && done < total) parts.push(`${formatDuration(((total - done) / rate) * 1000)} left`)
  if (errors > 0) parts.push(`${formatCount(errors)} failed`)
  return parts.join('  ')
}
