// The URL of one Redis server, read into its address. No message of this file quotes a URL, which may hold a password.
import type { RedisTarget } from '../../config/resolved.ts'
import { CachectlError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'

export interface RedisAddress {
  /** `localhost`, `::1` (without brackets); null with a `path` */
  host: string | null
  port: number
  /** of a unix socket */
  path: string | null
  username: string | null
  password: string | null
  database: number
  tls: boolean
}

const DEFAULT_PORT = 6379
const FORMS =
  'redis://[user:password@]host[:port][/database], rediss://… with TLS, redis+sentinel://host[,host]/name, or unix:/path/to/socket[?db=1]'

/**
 * Reads `redis://`, `rediss://` (`valkey://`, `valkeys://` too), and unix sockets: `unix:/path`, `redis+unix:/path`,
 * `redis+socket:/path`, `redis-socket:/path`, or the path alone. User and password also in `?username=&password=`, the database in `?db=`.
 * @throws CachectlError REDIS_URL_INVALID
 */
export function parseRedisUrl(url: string, tls: RedisTarget['tls'] = null): RedisAddress {
  const text = url.trim()
  if (text === '') throw invalid('is empty', `write ${FORMS}`)
  const unix = /^(?:(?:unix|redis\+unix|redis\+socket|redis-socket):(?:\/\/)?|(?=\/))(.*)$/is.exec(text)
  if (!unix) return parseNetworkUrl(text, tls !== null)
  if (tls) throw invalid('is a unix socket, which has no TLS', 'leave `tls` out, or name a host')
  return parseSocketUrl(unix[1] ?? '')
}

function parseNetworkUrl(text: string, withTls: boolean): RedisAddress {
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(text) ?? []
  const secure = /^(?:rediss|valkeys)$/i.test(scheme)
  if (!secure && !/^(?:redis|valkey)$/i.test(scheme)) throw notOurs(text, scheme)
  if (rest.includes('#')) throw unescaped('#', '%23')
  const [, authority = '', path = '', query = ''] = /^([^/?]*)([^?]*)\??(.*)$/s.exec(rest) ?? []
  // An `@` further on means that the authority ended early, at a / or ? of the password; the host would be a piece of it.
  if (query.includes('@') || path.includes('@'))
    throw path.includes('@') ? unescaped('/', '%2F') : unescaped('?', '%3F')
  if (authority.split('@').length > 2) throw unescaped('@', '%40')
  const at = authority.indexOf('@')
  const { host, port } = parseHost(authority.slice(at + 1))
  const parameters = new URLSearchParams(query)
  const database = parseDatabase(path.slice(1).replace(/\/$/, ''), parameters)
  return {
    host,
    port,
    path: null,
    ...parseUser(authority.slice(0, Math.max(at, 0)), parameters),
    database,
    tls: secure || withTls,
  }
}

function parseSocketUrl(rest: string): RedisAddress {
  const [, before = '', query = ''] = /^([^?]*)\??(.*)$/s.exec(rest) ?? []
  // Only a name before the path can be a user: a path may hold an @ of its own.
  const [, user = '', path = ''] = /^(?:([^/]*)@)?(.*)$/s.exec(before) ?? []
  if (!path.startsWith('/')) throw invalid('has no absolute path of a unix socket', 'write unix:/path/to/socket')
  const parameters = new URLSearchParams(query)
  const name = decode(path, 'the path')
  return {
    host: null,
    port: 0,
    path: name,
    ...parseUser(user, parameters),
    database: parseDatabase('', parameters),
    tls: false,
  }
}

function parseUser(userInfo: string, parameters: URLSearchParams): Pick<RedisAddress, 'username' | 'password'> {
  const colon = userInfo.indexOf(':')
  const name = decode(colon < 0 ? userInfo : userInfo.slice(0, colon), 'the user')
  const secret = colon < 0 ? null : decode(userInfo.slice(colon + 1), 'the password')
  const username = parameters.get('username') || parameters.get('user') || name || null
  const given = secret || parameters.get('password')
  // `user:@host` is a user of ACL's `nopass`.
  const password = given || (username !== null && secret === '' ? '' : null)
  if (username !== null && password === null) {
    throw invalid(
      'has a user but no password',
      'write redis://user:password@host, or redis://:password@host for a password alone',
    )
  }
  return { username, password }
}

function parseHost(text: string): { host: string; port: number } {
  const [, bracketed, plain = '', port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/s.exec(text) ?? []
  const host = decode(bracketed ?? plain, 'the host')
  if (bracketed === undefined && text.split(':').length > 2) {
    throw invalid('has more than one colon in its host', 'write IPv6 addresses in brackets: redis://[::1]:6379')
  }
  if (host === '') throw invalid('names no host', `write ${FORMS}`)
  if (!(bracketed === undefined ? /^[\w.-]+$/ : /^[0-9a-f:.]+(?:%[\w.-]+)?$/i).test(host)) {
    throw invalid(
      'names a host that cannot be one',
      `percent-encode special characters of user and password; write ${FORMS}`,
    )
  }
  if (port === undefined || port === '') return { host, port: DEFAULT_PORT }
  // What stands here may be a piece of a password without its @host: it is not repeated.
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
    throw invalid(
      'has a port that is no number from 1 to 65535',
      'write redis://host:6379; percent-encode special characters of a password',
    )
  }
  return { host, port: Number(port) }
}

function parseDatabase(inPath: string, parameters: URLSearchParams): number {
  const text = parameters.get('db') ?? parameters.get('database') ?? inPath
  if (text === '') return 0
  if (/^\d{1,9}$/.test(text) && (inPath === '' || inPath === text)) return Number(text)
  throw invalid(
    'has a database that is no single number',
    'write redis://host:6379/0; percent-encode special characters of a password',
  )
}

export function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid(`has a % in ${what} that begins no escape`, 'percent-encode it: % is %25')
  }
}

export function unescaped(character: string, encoded: string): CachectlError {
  return invalid(
    `has an unescaped ${character} in its user or password`,
    `percent-encode special characters there: ${character} is ${encoded} (/ is %2F, # is %23, @ is %40, ? is %3F, % is %25)`,
  )
}

function notOurs(text: string, scheme: string): CachectlError {
  // A bare `host:port` has no room for a secret, so it can be repeated.
  if (/^[\w.-]+:\d{1,5}$/.test(text)) return invalid('has no scheme', `write redis://${text}`)
  const known = /^(?:https?|postgres(?:ql)?|mysql|mongodb|amqp|tcp|tls)$/i.test(scheme) ? ` but of ${scheme}` : ''
  return invalid(`is not one of Redis${known}`, `write ${FORMS}`)
}

export function invalid(what: string, hint: string): CachectlError {
  return new CachectlError('REDIS_URL_INVALID', `the Redis URL ${what}`, { hint })
}

/** `127.0.0.1:6379`, `[::1]:6379`, `unix:/run/redis.sock`: for people. */
export function endpointOfAddress({ host, port, path }: Pick<RedisAddress, 'host' | 'port' | 'path'>): string {
  if (path !== null) return `unix:${printable(path)}`
  return `${host?.includes(':') ? `[${host}]` : printable(host ?? '')}:${port}`
}
