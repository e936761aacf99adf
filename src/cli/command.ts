// What the declaration of a command is made of: its examples, its action, imported when it runs.
import type { Command } from 'commander'
import { CachectlError } from '../core/errors.ts'
import type { GlobalFlags } from './flags.ts'
import type { Session } from './session.ts'

/** What a command is told: its arguments, and its flags with the global ones. */
export interface Invocation<Flags> {
  args: readonly string[]
  flags: Flags & GlobalFlags
}

type Load<Flags> = () => Promise<(session: Session, invocation: Invocation<Flags>) => Promise<void>>

/** `tenants` false: the command is about the whole cache or server, and a tenant that is named is a mistake. */
export function action<Flags>(session: Session, load: Load<Flags>, { tenants = true } = {}) {
  return async (...given: unknown[]) => {
    const command = given[given.length - 1] as Command
    const flags = command.optsWithGlobals() as Flags & GlobalFlags
    session.begin(command.name(), flags)
    if (!tenants && flags.tenant !== undefined)
      throw new CachectlError('USAGE', `\`${command.name()}\` knows no tenants`, { hint: 'leave the tenant out' })
    await (await load())(session, { args: command.args, flags })
  }
}

/** Goes first in the help of a command. */
export function examples(...lines: string[]): string {
  return `Examples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`
}
