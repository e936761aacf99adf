// Declares `doctor`.
import { type Command, Option } from 'commander'
import { action, examples } from '../command.ts'
import { duration } from '../flags.ts'
import type { Session } from '../session.ts'

export function declareDoctor(program: Command, session: Session): void {
  program
    .command('doctor')
    .description(
      'what is wrong with the cache and its server, how it shows, and what to type next; exit 6 where something is critical',
    )
    .addHelpText(
      'before',
      examples('cachectl doctor', 'cachectl doctor --full --source', "cachectl doctor --json | jq '.findings[].id'"),
    )
    .option('--full', 'look at every key, and at more entries, however long it takes')
    .addOption(
      new Option('--within <duration>', 'otherwise look at keys for this long')
        .argParser(duration)
        .default(5_000, '5s'),
    )
    .option('--source', 'also compare sampled entries with their rows; reads the sources')
    .option('--touch', 'read sampled entries even where that makes them look used (before Redis 7.2)')
    .action(action(session, async () => (await import('../commands/doctor.ts')).doctorCommand, { tenants: false }))
}
