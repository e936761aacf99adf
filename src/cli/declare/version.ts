import type { Command } from 'commander'
import { action, examples } from '../command.ts'
import { addDestructiveFlags } from '../destructive.ts'
import { duration } from '../flags.ts'
import type { Session } from '../session.ts'

export function declareVersion(program: Command, session: Session): void {
  const version = program
    .command('version')
    .description('generations and versions: what is current, and what is left of the former ones')
    .addHelpText(
      'before',
      examples('cachectl version', 'cachectl version bump namespace:list', 'cachectl version prune --dry-run'),
    )
  version
    .command('show [target...]', { isDefault: true })
    .description('versions and generations, since when and by whom, and what of the former ones is left')
    .addHelpText(
      'before',
      examples(
        'cachectl version show',
        'cachectl version show namespace:list model:product',
        'cachectl version show --full --json',
      ),
    )
    .option('--full', 'count every key, however many there are')
    .action(action(session, async () => (await import('../commands/version.ts')).versionShowCommand))
  const bump = version
    .command('bump [target]')
    .description(
      'a new generation: everything of global, a namespace, model, subject or tenant is out of reach at once',
    )
    .addHelpText(
      'before',
      examples(
        'cachectl version bump namespace:list',
        'cachectl version bump model:product --dry-run',
        'cachectl version bump global --confirm=shop',
      ),
    )
    .option('--all-tenants', 'rows of all tenants')
  addDestructiveFlags(bump).action(
    action(session, async () => (await import('../commands/version.ts')).versionBumpCommand),
  )
  const prune = version
    .command('prune [target...]')
    .description('delete what nobody can read any more: former generations, and versions of the code without processes')
    .addHelpText(
      'before',
      examples(
        'cachectl version prune --dry-run',
        'cachectl version prune --yes',
        'cachectl version prune namespace:list --yes --rate 5000',
      ),
    )
    .option('--wait <duration>', 'how long processes of older versions get to say that they live (10s)', duration)
  addDestructiveFlags(prune).action(
    action(session, async () => (await import('../commands/version.ts')).versionPruneCommand),
  )
}
