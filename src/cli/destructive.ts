// What every destructive command shares: its flags, and how it is confirmed.
import { createInterface } from 'node:readline'
import { type Command, InvalidArgumentError } from 'commander'
import { CachectlError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { type Danger, judge } from '../core/safeguards.ts'
import { commandLine } from '../core/shell-word.ts'
import type { Pace } from '../ops/pace.ts'
import { untilStopped } from '../ops/until-stopped.ts'
import { type GlobalFlags, positiveInteger } from './flags.ts'
import type { Session } from './session.ts'

export interface DestructiveFlags {
  dryRun?: boolean
  yes?: boolean
  confirm?: string
  /** default: 50 */
  maxPercent?: number
  maxKeys?: number
  rate?: Pace
}

const MAX_PERCENT = 50

/** Adds -n, -y, --confirm, --max-percent, --max-keys (but where that is a limit of the command's own), --rate (but where there is no walk). */
export function addDestructiveFlags(
  command: Command,
  { maxKeys = true, paced = true }: { maxKeys?: boolean; paced?: boolean } = {},
): Command {
  if (paced) command.option('--rate <n>', 'keys a second, or max; otherwise as the server and its replicas bear', rate)
  if (maxKeys) command.option('--max-keys <n>', 'refuse to touch more keys than this', positiveInteger)
  return command
    .option('-n, --dry-run', 'say what would be done; change nothing')
    .option('-y, --yes', 'do not ask')
    .option('--confirm <name>', 'names what is meant, where --yes is not enough: the prefix')
    .option('--max-percent <n>', 'refuse to touch more of the database than this (50)', percent)
}

/**
 * Shows the plan on stderr and asks where it must; returns when it may be done.
 * @throws CachectlError REFUSED with the full command that would pass
 */
export async function confirm(
  session: Session,
  flags: DestructiveFlags & GlobalFlags,
  plan: { text: string; danger: Danger },
): Promise<void> {
  // Whoever stopped it while it looked did not see the plan.
  session.signal.throwIfAborted()
  const { danger } = plan
  const { stdin, stderr, stderrIsTty } = session.io
  // A terminal that does not say how wide it is can be asked, too.
  const seen = stderrIsTty || (stderr as { isTTY?: boolean }).isTTY === true
  const interactive = flags.input && stdin.isTTY === true && seen
  if (plan.text !== '') session.note(plan.text)
  const verdict = judge(danger, {
    yes: flags.yes ?? false,
    confirm: flags.confirm ?? null,
    maxPercent: flags.maxPercent ?? MAX_PERCENT,
    maxKeys: flags.maxKeys ?? null,
    interactive,
  })
  if (verdict.kind === 'go') return
  if (verdict.kind === 'refuse')
    throw new CachectlError('REFUSED', verdict.reason, {
      hint: `to do it: ${commandWith(session.argv, verdict.flags)}`,
    })
  const { typed } = verdict
  const question = typed === null ? 'Go on? [y/N] ' : `Type ${printable(typed)} to go on: `
  const answer = (await untilStopped(ask(session, question), session.signal, 0)).trim()
  if (typed === null ? /^y(es)?$/i.test(answer) : answer === typed) return
  throw new CachectlError('REFUSED', 'answered no: nothing was done', {
    hint: `without a question: ${commandWith(session.argv, [typed === null ? '--yes' : `--confirm=${typed}`])}`,
  })
}

/** One line of standard input; what is typed is never repeated. */
function ask(session: Session, question: string): Promise<string> {
  const lines = createInterface({ input: session.io.stdin, output: session.io.stderr, terminal: true })
  return new Promise<string>((resolve) => {
    const stop = () => lines.close()
    session.signal.addEventListener('abort', stop, { once: true })
    // Ctrl-C while it is asked reaches readline, not the process.
    lines.once('SIGINT', () => session.interrupt('SIGINT'))
    lines.once('close', () => resolve(''))
    lines.question(question, (answer) => {
      resolve(answer)
      lines.close()
    })
  })
}

/** The command as it was typed, with these flags added or in place of the same ones. */
function commandWith(argv: readonly string[], flags: readonly string[]): string {
  const replaced = flags.map((flag) => flag.split('=')[0] as string)
  const kept: string[] = []
  const end = argv.indexOf('--')
  const given = end < 0 ? argv : argv.slice(0, end)
  for (let index = 0; index < given.length; index++) {
    const word = given[index] as string
    if (replaced.includes(word.split('=')[0] as string)) {
      if (!word.includes('=') && word !== '--yes') index++
    } else kept.push(word)
  }
  // Behind `--` they would be targets.
  return commandLine([...kept, ...flags, ...argv.slice(given.length)])
}

function percent(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value > 0 && value <= 100)) throw new InvalidArgumentError('Give a number from 1 to 100.')
  return value
}

function rate(text: string): Pace {
  return text === 'max' ? 'max' : { keysPerSecond: positiveInteger(text) }
}
