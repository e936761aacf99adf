// Declares `lock`.
import type { Command } from 'commander'
import { action, examples } from '../command.ts'
import type { Session } from '../session.ts'

export function declareLock(program: Command, session: Session): void {
  const lock = program
    .command('lock')
    .description('runs that exclude each other: who holds which lock')
    .addHelpText(
      'before',
      examples('cachectl lock show', 'cachectl lock show warm:product', 'cachectl lock release warm:product'),
    )
  lock
    .command('show [name]')
    .description('the locks that are held, or this one; exit 3 where it is not held')
    .addHelpText(
      'before',
      examples('cachectl lock show', 'cachectl lock show warm:product', 'cachectl lock show --json | jq .locks'),
    )
    .action(action(session, async () => (await import('../commands/lock.ts')).lockShowCommand, { tenants: false }))
  lock
    .command('release <name>')
    .description('take a lock from a run that is gone: a run that is not stops, with exit 5')
    .addHelpText(
      'before',
      examples(
        'cachectl lock release warm:product',
        'cachectl lock release warm:product --dry-run',
        'cachectl lock release warm:product --yes',
      ),
    )
    .option('-n, --dry-run', 'say who holds it; change nothing')
    .option('-y, --yes', 'do not ask')
    .option('--confirm <name>', 'names what is meant, in production, where --yes is not enough: the prefix')
    .action(action(session, async () => (await import('../commands/lock.ts')).lockReleaseCommand, { tenants: false }))
}
