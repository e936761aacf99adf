// Declares `expire`.
import { type Command, InvalidArgumentError } from 'commander'
import { action, examples } from '../command.ts'
import { addDestructiveFlags } from '../destructive.ts'
import { duration } from '../flags.ts'
import type { Session } from '../session.ts'

export function declareExpire(program: Command, session: Session): void {
  const command = program
    .command('expire [target...]')
    .description('give keys a TTL: those that have none, or all of a target')
    .addHelpText(
      'before',
      examples(
        'cachectl expire all --missing-only --ttl 24h --jitter 10%',
        'cachectl expire namespace:list --over 30m',
        'cachectl expire product --from-config --dry-run',
      ),
    )
    .option('--ttl <duration>', 'how long each key lives from now on', ttl)
    .option('--jitter <percent>', 'shortens each TTL at random by up to this part of it, e.g. 10%', jitter)
    .option('--over <duration>', 'ends spread evenly over this time, behind --ttl; alone it only shortens', duration)
    .option('--from-config', 'what the config says of each key; only shortens')
    .option('--missing-only', 'only keys without TTL')
    .option('--exact', 'count every key before anything is done')
    .option('--foreign', 'patterns and keys may be outside the prefix')
    .option('--all-tenants', 'rows of all tenants')
  addDestructiveFlags(command).action(
    action(session, async () => (await import('../commands/expire.ts')).expireCommand),
  )
}

function ttl(text: string): number {
  if (text === 'never')
    throw new InvalidArgumentError(
      "Keys without end are what this command mends. Say `ttl: 'never'` of the namespace: entries that are written from then on have none.",
    )
  const ms = duration(text)
  if (ms === 0) throw new InvalidArgumentError('To end them at once use `cachectl invalidate`.')
  return ms
}

/** A share: 0.1 of `10%`. */
function jitter(text: string): number {
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(text.trim())?.[1]
  const share = Number(percent ?? Number.NaN) / 100
  if (!(share >= 0 && share <= 0.5)) throw new InvalidArgumentError('Give 0% to 50%.')
  return share
}
