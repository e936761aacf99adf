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
    .addHelpText(
      'after',
      `
Models, namespaces, subjects, tenants, rows (product:42) and tags (tag:sale) are
out of reach at once. The walk behind it over the whole database only frees
memory; of models, rows and tags it looks into each entry, since what an entry
depends on stands in it and not in its name. Limits, --exact and --dry-run
look the same way first, and without --exact or --max-keys for two seconds at
most: what they count then is an estimate, and says how good.`,
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
