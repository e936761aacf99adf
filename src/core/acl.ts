// Which commands each verb and the library send, and the shortest ACL line that allows them. Held to real servers by tests: without any of `needs` it fails.

/** Names as ACL rules have them: `get`, `memory|usage`. */
export interface VerbRights {
  /** `stats`, `version bump`; `library`: what an application does */
  verb: string
  group: RightsGroup
  /** without one of these it fails */
  needs: readonly string[]
  /** without these it does less, and says so: sizes, samples, journal, waiting for processes instead of hearing them */
  better: readonly string[]
}

/** One user each: what one group may do, another cannot. */
export const RIGHTS_GROUPS = {
  look: 'looking: stats, keys, get, why, doctor, history, version show, lock show, policy check, evict --check',
  warm: 'warm',
  incident: 'incidents: invalidate, expire, version bump, version prune, lock release',
  evict: 'evict',
  server: 'policy apply',
  library: 'the library in an application',
} as const satisfies Record<string, string>

export type RightsGroup = keyof typeof RIGHTS_GROUPS

const words = (text: string): string[] => text.split(' ').filter(Boolean)

/** Whatever connects: who it is, whether it is a node of a Cluster, how we are told apart in CLIENT LIST. */
const CONNECT = 'ping info client|setname client|no-touch cluster|slots'
/** Whatever walks over keys. */
const WALK = `${CONNECT} dbsize time memory|usage`
/** Whatever deletes what it meets. */
const SWEEP = `${WALK} command|info del getrange pttl xadd`

const rights = (group: RightsGroup, verb: string, needs: string, better: string): VerbRights => {
  const needed = words(needs)
  return { verb, group, needs: needed, better: [...new Set(words(better))].filter((name) => !needed.includes(name)) }
}

export const VERB_RIGHTS: readonly VerbRights[] = [
  rights('look', 'stats', 'scan', `${WALK} pttl type hgetall getrange client|no-touch`),
  rights('look', 'keys', 'scan', `${WALK} pttl getrange client|no-touch`),
  rights(
    'look',
    'get',
    'get pttl type',
    `${CONNECT} memory|usage hgetall mget hscan hlen lrange llen sscan scard zrange zcard xrange xlen`,
  ),
  rights('look', 'why', 'get getrange hgetall pttl type', `${CONNECT} memory|usage eval mget time xrevrange`),
  rights(
    'look',
    'doctor',
    '',
    `${WALK} scan pttl get getrange hgetall mget type xrevrange client|list client|no-touch config|get slowlog|get multi discard acl|whoami acl|dryrun`,
  ),
  rights('look', 'history', 'xrevrange', `${CONNECT} xread`),
  rights('look', 'version show', 'eval hgetall scan time', `${WALK} pttl`),
  rights('look', 'lock show', 'get pttl scan type', `${CONNECT} time`),
  rights('look', 'policy check', '', `${CONNECT} config|get`),
  rights('look', 'evict --check', 'scan', `${WALK} pttl`),
  rights(
    'warm',
    'warm',
    'get getrange hgetall hmget info set',
    `${CONNECT} dbsize del eval exec mget multi pexpire pttl type unwatch watch xadd`,
  ),
  rights(
    'incident',
    'invalidate',
    'eval exists get getrange hget hgetall hlen hset pexpire pttl publish scan set setrange time type unlink',
    `${SWEEP} subscribe persist`,
  ),
  rights('incident', 'expire', 'eval getrange pexpire pttl scan setrange type', `${WALK} persist xadd`),
  rights(
    'incident',
    'version bump',
    'eval get hget hgetall hlen hset publish scan set time type unlink',
    `${SWEEP} subscribe hdel hrandfield`,
  ),
  rights('incident', 'version prune', 'eval get hgetall scan time unlink', `${SWEEP} subscribe publish hdel`),
  rights('incident', 'lock release', 'del eval get pttl type', `${CONNECT} xadd`),
  rights('evict', 'evict', 'object|idletime pttl scan unlink', `${SWEEP} object|freq`),
  rights('server', 'policy apply', 'config|get config|set scan', `${WALK} pttl config|rewrite xadd`),
  rights(
    'library',
    'library',
    'client|tracking del eval expire get hget hgetall hincrby hlen hset hsetnx mget pexpire ping pttl publish set subscribe time type unlink',
    `${CONNECT} client|caching client|getredir client|id getrange hdel hexists persist scan setrange`,
  ),
]

/** What tracking of copies in memory is told on. */
const TRACKING_CHANNEL = '__redis__:invalidate'

export interface AclScope {
  prefix: string
  /** globs of keys of other software that the config declares */
  foreign: readonly string[]
  /** commands that the server does not know: it refuses rules that name them */
  unknown?: ReadonlySet<string>
  /** what a client of a Cluster or of Sentinels sends besides */
  mode: 'standalone' | 'sentinel' | 'cluster' | 'embedded'
  /** of the server, as `Redis 6.0.16`; default: not known */
  version?: string | null
}

/** What no rule can hold, and what redis-cli would take for the quotes around one. */
const UNWRITABLE = /[\s"']/g

const CLUSTER = words('asking cluster|nodes readonly')
const SENTINEL = words('role')

/** Redis 6.0 and 6.1 take no rules on channels, and let all users use all of them. */
const NO_CHANNELS = /^Redis 6\.[01]\./

/** All rules of a user that may run these verbs and nothing else, in the form of ACL SETUSER: `~shop:*`, `+get`. */
export function aclRules(
  verbs: readonly VerbRights[],
  { prefix, foreign, mode, unknown, version }: AclScope,
): string[] {
  const keys = [`~${prefix}:*`, `~${prefix}~*`, ...foreign.map((glob) => `~${glob.replace(UNWRITABLE, '?')}`)]
  const sent = verbs.flatMap(({ needs, better }) => [...needs, ...better])
  const routing = mode === 'cluster' ? CLUSTER : mode === 'sentinel' ? SENTINEL : []
  const channels = sent.some((name) => name === 'publish' || name === 'subscribe') ? [`&${prefix}~*`] : []
  if (sent.includes('client|tracking')) channels.push(`&${TRACKING_CHANNEL}`)
  const commands = [...new Set([...sent, ...routing])].filter((name) => !unknown?.has(name)).sort()
  return [...keys, ...(NO_CHANNELS.test(version ?? '') ? [] : channels), ...commands.map((name) => `+${name}`)]
}

/** A new user for a group of verbs, ready to be typed into redis-cli once its password is filled in. */
export function aclLine(group: RightsGroup, scope: AclScope): string {
  const rules = aclRules(
    VERB_RIGHTS.filter((verb) => verb.group === group),
    scope,
  )
  return `ACL SETUSER cachectl-${group} on ><password> ${rules.join(' ')}`
}

/**
 * Arguments with which a command can be asked about without doing anything: queued by MULTI and discarded, or given to ACL DRYRUN. They are of the right
 * number, and name a key and a channel of the prefix.
 */
export function probeOf(command: string, prefix: string): string[] {
  const key = `${prefix}:v1:doctor:probe:`
  const name = command.toUpperCase().split('|')
  const channel = `${prefix}~doctor`
  const args = PROBE_ARGUMENTS[command] ?? (KEYLESS.has(command) ? [] : ['KEY'])
  return [...name, ...args.map((arg) => (arg === 'KEY' ? key : arg === 'CHANNEL' ? channel : arg))]
}

const KEYLESS = new Set(words('ping info dbsize time multi exec discard unwatch asking readonly role'))

const PROBE_ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  'acl|whoami': [],
  'acl|dryrun': ['default', 'PING'],
  'client|setname': ['cachectl'],
  'client|no-touch': ['ON'],
  'client|list': [],
  'client|id': [],
  'client|getredir': [],
  'client|caching': ['YES'],
  'client|tracking': ['OFF'],
  'cluster|nodes': [],
  'cluster|slots': [],
  'command|info': ['GET'],
  'config|get': ['maxmemory'],
  'config|set': ['maxmemory', '0'],
  'config|rewrite': [],
  'slowlog|get': ['1'],
  scan: ['0'],
  eval: ['return 1', '0'],
  expire: ['KEY', '1'],
  getrange: ['KEY', '0', '0'],
  hdel: ['KEY', 'f'],
  hexists: ['KEY', 'f'],
  hget: ['KEY', 'f'],
  hincrby: ['KEY', 'f', '1'],
  hmget: ['KEY', 'f'],
  hscan: ['KEY', '0'],
  hset: ['KEY', 'f', 'v'],
  hsetnx: ['KEY', 'f', 'v'],
  lrange: ['KEY', '0', '0'],
  pexpire: ['KEY', '1'],
  publish: ['CHANNEL', ''],
  set: ['KEY', 'v'],
  setrange: ['KEY', '0', ''],
  sscan: ['KEY', '0'],
  subscribe: ['CHANNEL'],
  xadd: ['KEY', '*', 'f', 'v'],
  xrange: ['KEY', '-', '+'],
  xread: ['STREAMS', 'KEY', '0'],
  xrevrange: ['KEY', '+', '-'],
  zrange: ['KEY', '0', '0'],
}
