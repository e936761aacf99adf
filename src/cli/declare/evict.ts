import { type Command, InvalidArgumentError, Option } from 'commander'
import { EVICTION_POLICIES } from '../../core/eviction.ts'
import { action, examples } from '../command.ts'
import { addDestructiveFlags } from '../destructive.ts'
import { positiveInteger, size } from '../flags.ts'
import type { Session } from '../session.ts'

export function declareEvict(program: Command, session: Session): void {
  const command = program
    .command('evict [target...]')
    .description('bring namespaces, and the whole prefix, within their budgets')
    .addHelpText(
      'before',
      examples(
        'cachectl evict --dry-run',
        'cachectl evict --yes --to 90%',
        'cachectl evict namespace:detail --max-memory 64mb --policy lru',
      ),
    )
    .option('--check', 'only say whether the budgets are kept; exit 6 where one is not')
    .addOption(
      new Option('--policy <name>', 'what goes first, in the place of what the config says').choices(EVICTION_POLICIES),
    )
    .option('--max-keys <n>', 'keys that may stay, in the place of the budget', positiveInteger)
    .option('--max-memory <size>', 'memory that may stay, e.g. 64mb, in the place of the budget', size)
    .option('--to <percent>', 'go down to this part of each limit (100%)', share)
    .option('--foreign', 'patterns and keys may be outside the prefix')
    .option('--all-tenants', 'rows of all tenants')
  addDestructiveFlags(command, { maxKeys: false }).action(
    action(session, async () => (await import('../commands/evict.ts')).evictCommand),
  )
}

/** `90%` or `90`, as 0.9 */
function share(text: string): number {
  const value = Number(text.replace(/\s*%$/, ''))
  if (text.trim() === '' || !(value >= 1 && value <= 100))
    throw new InvalidArgumentError('Give a percentage from 1% to 100%, e.g. 90%.')
  return value / 100
}
