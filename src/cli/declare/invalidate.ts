import type { Command } from 'commander'
import { action, examples } from '../command.ts'
import { addDestructiveFlags } from '../destructive.ts'
import { duration } from '../flags.ts'
import type { Session } from '../session.ts'

export function declareInvalidate(program: Command, session: Session): void {
  const command = program
    .command('invalidate [target...]')
    .alias('clear')
    .description('make entries unreachable at once, and delete them (also: clear)')
    .addHelpText(
      'before',
      examples(
        'cachectl invalidate product:42',
        'cachectl invalidate namespace:list --dry-run',
        "cachectl invalidate 'pattern:shop:v1:list:*' --over 10m",
      ),
    )
    .option('--soft', 'entries become stale: given within their grace while they are made anew')
    .option('--over <duration>', 'spread over this time: keys end at random within it', duration)
    .option('--exact', 'count every key before anything is done')
    .option('--foreign', 'patterns and keys may be outside the prefix')
    .option('--all-tenants', 'rows of all tenants')
  addDestructiveFlags(command).action(
    action(session, async () => (await import('../commands/invalidate.ts')).invalidateCommand),
  )
}
