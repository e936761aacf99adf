// Declares `history`.
import type { Command } from 'commander'
import { action, examples } from '../command.ts'
import { instant, positiveInteger } from '../flags.ts'
import type { Session } from '../session.ts'

export function declareHistory(program: Command, session: Session): void {
  program
    .command('history')
    .description('what was done to the cache: when, by whom, with what result')
    .addHelpText(
      'before',
      examples(
        'cachectl history --since 24h',
        'cachectl history --verb invalidate --target product',
        'cachectl history -f',
      ),
    )
    .option('--limit <n>', 'at most this many runs, the last ones', positiveInteger, 50)
    .option('--since <time>', 'what had not ended before: 24h, or 2026-11-21T03:00:00Z', instant)
    .option('--verb <name>', 'runs of this command: warm, invalidate, "version bump", version …')
    .option('--target <text>', 'runs aimed at something that holds this text')
    .option('-f, --follow', 'then go on with what is done from now on, until Ctrl-C')
    .action(action(session, async () => (await import('../commands/history.ts')).historyCommand, { tenants: false }))
}
