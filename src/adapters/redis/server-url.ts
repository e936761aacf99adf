// The URL of a config or a flag: one server, seeds of a Cluster, or the Sentinels that know a primary; and how people see it, without its secrets.
import type { RedisTarget } from '../../config/resolved.ts'
import { printable } from '../../core/printable.ts'
import { decode, endpointOfAddress, invalid, parseRedisUrl, type RedisAddress, unescaped } from './url.ts'

export type ServerAddress = { kind: 'nodes'; nodes: readonly [RedisAddress, ...RedisAddress[]] } | SentinelAddress

export interface SentinelAddress {
  kind: 'sentinel'
  /** with what the Sentinels themselves ask for */
  sentinels: readonly RedisAddress[]
  /** what the Sentinels call the primary */
  name: string
  /** user, password, database and TLS of the servers; its host is none */
  server: RedisAddress
}

const SENTINEL_PORT = 26_379

/**
 * Besides the URLs of `parseRedisUrl`: `redis://a:7000,b:7000`, nodes of one Cluster that are asked in turn (each may also be a whole URL), and
 * `redis+sentinel://[user:password@]host[:port],host/name[/database]`; `?sentinelUsername=&sentinelPassword=` are for the Sentinels themselves.
 * @throws CachectlError REDIS_URL_INVALID
 */
export function parseServerUrl(url: string, tls: RedisTarget['tls'] = null): ServerAddress {
  const text = url.trim()
  const [, scheme, rest] = /^(redis|rediss|valkey|valkeys)\+sentinel:\/\/(.*)$/is.exec(text) ?? []
  if (scheme !== undefined && rest !== undefined) return parseSentinelUrl(scheme, rest, tls)
  const [first, ...others] = splitNodes(text).map((one) => parseRedisUrl(one, tls))
  const node = first ?? parseRedisUrl(text, tls)
  const differs = others.some((other) =>
    (['username', 'password', 'database', 'tls'] as const).some((name) => other[name] !== node[name]),
  )
  if (differs) {
    throw invalid(
      'names nodes of one Cluster that differ in user, password, database or TLS',
      'write them once: redis://user:password@a:7000,b:7000; several servers of their own have names in the config: `redis: { default, … }`',
    )
  }
  return { kind: 'nodes', nodes: [node, ...others] }
}

/** One URL a node. What the later ones leave out is as in the first. */
function splitNodes(text: string): readonly string[] {
  if (!/^[a-z+]+:\/\//i.test(text) || /^(?:unix|redis\+unix|redis\+socket|redis-socket):/i.test(text)) return [text]
  let inheritedUser = ''
  let inheritedTail = ''
  return text.split(/,(?=(?:redis|valkey)s?:\/\/)/i).flatMap((piece, index) => {
    const [, scheme = '', authority = '', tail = ''] = /^([^:]*:\/\/)([^/?#]*)(.*)$/s.exec(piece) ?? []
    const at = authority.indexOf('@') + 1
    const user = authority.slice(0, at) || inheritedUser
    const rest = tail || inheritedTail
    if (index === 0) {
      inheritedUser = user
      inheritedTail = tail
    }
    return authority
      .slice(at)
      .split(',')
      .map((host) => `${scheme}${user}${host.trim()}${rest}`)
  })
}

function parseSentinelUrl(scheme: string, rest: string, tls: RedisTarget['tls']): SentinelAddress {
  if (rest.includes('#')) throw unescaped('#', '%23')
  const [, authority = '', path = '', query = ''] = /^([^/?]*)([^?]*)\??(.*)$/s.exec(rest) ?? []
  if (path.includes('@')) throw unescaped('/', '%2F')
  if (query.includes('@')) throw unescaped('?', '%3F')
  if (authority.split('@').length > 2) throw unescaped('@', '%40')
  const at = authority.indexOf('@') + 1
  const parameters = new URLSearchParams(query)
  const username = parameters.get('sentinelUsername') || null
  const password = parameters.get('sentinelPassword') || null
  parameters.delete('sentinelUsername')
  parameters.delete('sentinelPassword')
  const [name = '', database = '', ...more] = path.split('/').slice(1)
  if (name === '' || more.length > 0) {
    throw invalid(
      `${name === '' ? 'does not say what the Sentinels call the primary' : 'has more than a name and a database behind its hosts'}`,
      'write redis+sentinel://host:26379,host:26379/mymaster, with the name of `sentinel monitor`',
    )
  }
  const sentinels = authority
    .slice(at)
    .split(',')
    .map((host) => parseRedisUrl(`${scheme}://${withPort(host.trim())}`, tls))
  const server = `${scheme}://${authority.slice(0, at)}primary/${database}?${parameters}`
  return {
    kind: 'sentinel',
    sentinels: sentinels.map((sentinel) => ({ ...sentinel, username, password })),
    name: decode(name, 'the name of the primary'),
    server: parseRedisUrl(server, tls),
  }
}

/** What stands there may be no host at all: whoever reads it says so. */
function withPort(host: string): string {
  if (host === '') return host
  const hasPort = host.startsWith('[') ? /\]:/.test(host) : host.includes(':')
  return hasPort ? host : `${host}:${SENTINEL_PORT}`
}

/** For people, never with user or password: `127.0.0.1:6379`, `a:7000` for the first of several nodes, `mymaster of Sentinel a:26379, b:26379`. */
export function endpointOf(url: string): string {
  const address = readable(url)
  if (address === null) return 'the Redis of an unreadable URL'
  if (address.kind === 'nodes') return endpointOfAddress(address.nodes[0])
  return `${printable(address.name)} of Sentinel ${address.sentinels.map(endpointOfAddress).join(', ')}`
}

/** The URL with `***` for user and password, without parameters: `rediss://***@db.example.com:6379/2`. */
export function redactUrl(url: string): string {
  const address = readable(url)
  if (address === null) return '(an unreadable URL, not shown: it may hold a password)'
  const server = address.kind === 'nodes' ? address.nodes[0] : address.server
  const { database } = server
  if (server.path !== null) return `${endpointOfAddress(server)}${database === 0 ? '' : `?db=${database}`}`
  const scheme = server.tls ? 'rediss' : 'redis'
  const secret = server.password === null ? '' : '***@'
  if (address.kind === 'nodes')
    return `${scheme}://${secret}${address.nodes.map(endpointOfAddress).join(',')}/${database}`
  const name = encodeURIComponent(address.name)
  return `${scheme}+sentinel://${secret}${address.sentinels.map(endpointOfAddress).join(',')}/${name}/${database}`
}

function readable(url: string): ServerAddress | null {
  try {
    return parseServerUrl(url)
  } catch {
    return null
  }
}
