// Which verbs this user may run, asked without doing anything: of ACL DRYRUN, or by queueing commands behind MULTI where that is refused or not known.
import type { ResolvedConfig } from '../config/resolved.ts'
import { aclLine, probeOf, RIGHTS_GROUPS, type RightsGroup, VERB_RIGHTS } from '../core/acl.ts'
import { printable } from '../core/printable.ts'
import { isErrorReply } from '../core/reply.ts'
import type { Lane, RedisIdentity, Reply } from '../ports.ts'
import { NotMade } from './doctor-checks.ts'
import type { OpenedMaster } from './doctor-servers.ts'

export interface RightsReport {
  /** how it was asked; what `multi` finds missing stands in ACL LOG then */
  method: 'multi' | 'dryrun'
  /** null where ACL WHOAMI is refused */
  user: string | null
  /** `missing`: without these it fails; `less`: without these it does less, and says so */
  verbs: { verb: string; group: RightsGroup; missing: string[]; less: string[] }[]
  /** for a user that may do what the group does, and nothing else */
  lines: { group: RightsGroup; what: string; line: string }[]
}

/** Not between MULTI and DISCARD: they are asked outside, where they do nothing either. */
const OUTSIDE = new Set(['exec', 'discard', 'watch', 'unwatch'])

/** On a connection of its own, which is closed: nothing that was queued can be executed. */
export async function checkRights(
  master: OpenedMaster,
  open: () => Promise<Lane>,
  config: ResolvedConfig,
  { mode, version }: Pick<RedisIdentity, 'mode' | 'version'>,
): Promise<RightsReport> {
  const commands = [...new Set(VERB_RIGHTS.flatMap(({ needs, better }) => [...needs, ...better]))]
  const user = await whoAmI(master.lane)
  const told = user === null ? null : await askByDryRun(master.lane, commands, config.prefix, user)
  const lane = told === null ? await open() : null
  try {
    const answers = told ?? (lane && (await askByMulti(lane, commands, config.prefix)))
    if (answers === null) throw new NotMade('ACL WHOAMI or ACL DRYRUN is refused, and so is MULTI')
    const lacking = (names: readonly string[]) => names.filter((name) => answers.get(name) === 'no').map(shown)
    const unknown = new Set(commands.filter((name) => answers.get(name) === 'unknown'))
    const scope = { prefix: config.prefix, foreign: foreignGlobs(config), mode, unknown, version }
    return {
      method: told === null ? 'multi' : 'dryrun',
      user: user === null ? null : printable(user),
      verbs: VERB_RIGHTS.map(({ verb, group, needs, better }) => ({
        verb,
        group,
        missing: lacking(needs),
        less: lacking(better),
      })),
      lines: (Object.keys(RIGHTS_GROUPS) as RightsGroup[]).map((group) => ({
        group,
        what: RIGHTS_GROUPS[group],
        line: printable(aclLine(group, scope)),
      })),
    }
  } finally {
    lane?.close()
  }
}

const shown = (name: string): string => name.toUpperCase().replace('|', ' ')

/** By name: whether the user may send it, to keys of the prefix; what the server does not know is refused to everybody. */
type Answers = ReadonlyMap<string, 'yes' | 'no' | 'unknown'>

async function run(lane: Lane, commands: readonly (readonly string[])[]): Promise<readonly Reply[]> {
  const page = lane.page()
  for (const command of commands) page.add(...command)
  return lane.run(page)
}

/** Other errors (OOM, READONLY, MOVED) come behind the look at rights. */
function answerOf(reply: Reply | undefined): 'yes' | 'no' | 'unknown' {
  if (!isErrorReply(reply)) return 'yes'
  if (reply.code === 'NOPERM') return 'no'
  return /unknown (sub)?command|command .* not found/i.test(reply.error) ? 'unknown' : 'yes'
}

/** Null: MULTI is refused. Rights are looked at when a command is queued. */
async function askByMulti(lane: Lane, commands: readonly string[], prefix: string): Promise<Answers | null> {
  const outside = commands.filter((name) => OUTSIDE.has(name))
  const inside = commands.filter((name) => !OUTSIDE.has(name) && name !== 'multi')
  const answers = new Map<string, 'yes' | 'no' | 'unknown'>()
  const first = await run(
    lane,
    outside.map((name) => probeOf(name, prefix)),
  )
  outside.forEach((name, index) => {
    answers.set(name, answerOf(first[index]))
  })
  // Alone: behind a MULTI that was refused the others would be executed.
  const [multi] = await run(lane, [['MULTI']])
  if (isErrorReply(multi)) return null
  answers.set('multi', 'yes')
  const replies = await run(lane, [...inside.map((name) => probeOf(name, prefix)), ['DISCARD']])
  inside.forEach((name, index) => {
    answers.set(name, answerOf(replies[index]))
  })
  return answers
}

/** Null: ACL DRYRUN is refused, or not known. */
async function askByDryRun(
  lane: Lane,
  commands: readonly string[],
  prefix: string,
  user: string,
): Promise<Answers | null> {
  const replies = await run(
    lane,
    commands.map((name) => ['ACL', 'DRYRUN', user, ...probeOf(name, prefix)]),
  )
  if (replies.every((reply) => isErrorReply(reply))) return null
  // OK, or a sentence that says what is not allowed.
  return new Map(
    commands.map((name, index) => {
      const reply = replies[index]
      return [name, isErrorReply(reply) ? answerOf(reply) : String(reply) === 'OK' ? 'yes' : 'no']
    }),
  )
}

async function whoAmI(lane: Lane): Promise<string | null> {
  const [reply] = await run(lane, [['ACL', 'WHOAMI']])
  return reply === undefined || reply === null || isErrorReply(reply) ? null : String(reply)
}

/** Of namespaces whose keys other software names. */
function foreignGlobs({ namespaces }: ResolvedConfig): string[] {
  const patterns = Object.values(namespaces).flatMap(({ keyPattern, versionKey }) => [keyPattern, versionKey])
  return patterns.flatMap((pattern) => (pattern === null ? [] : [pattern.replace(/\{\w+\}/g, '*')]))
}
