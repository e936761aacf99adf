// Declares `policy check` and `policy apply`.
import type { Command } from 'commander'
import { action, examples } from '../command.ts'
import { addDestructiveFlags } from '../destructive.ts'
import type { Session } from '../session.ts'

export function declarePolicy(program: Command, session: Session): void {
  const policy = program
    .command('policy')
    .description('memory limit, eviction policy and persistence of the server, against the config')
    .addHelpText(
      'before',
      examples('cachectl policy check', 'cachectl policy apply --dry-run', 'cachectl policy apply'),
    )
  policy
    .command('check')
    .description('whether the server is set as `server` of the config says; exit 6 where it is not')
    .addHelpText(
      'before',
      examples(
        'cachectl policy check',
        'cachectl policy check -q || echo "the server is not set as it should be"',
        'cachectl policy check --json | jq .masters[].settings',
      ),
    )
    .action(action(session, async () => (await import('../commands/policy.ts')).policyCheckCommand, { tenants: false }))
  const apply = policy
    .command('apply')
    .description('set the server as the config says, after showing what that means for all who use it')
    .addHelpText(
      'before',
      examples('cachectl policy apply --dry-run', 'cachectl policy apply', 'cachectl policy apply --yes --persist'),
    )
    .option('--persist', "also write it to the server's own config file (CONFIG REWRITE)")
  addDestructiveFlags(apply, { maxKeys: false, paced: false }).action(
    action(session, async () => (await import('../commands/policy.ts')).policyApplyCommand, { tenants: false }),
  )
}
