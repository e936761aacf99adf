// The `redis` of a config: one server, a Cluster, a Sentinel set, or several of these by name; and what becomes of it.
import { nearest } from '../core/nearest.ts'
import type { Place } from './problems.ts'
import { array, checkName, integer, isObject, object, type Reader, text, wrong } from './readers.ts'
import type { NamedServers, RedisTarget, ResolvedNamespace } from './resolved.ts'
import type { ReadConfig } from './schema.ts'

const DEFAULT = 'default'

const pem: Reader<string> = (value, place) =>
  text(value instanceof Uint8Array ? new TextDecoder().decode(value) : value, place)

/** Undefined and '' are the variable that is not set: for whoever needs Redis to report. */
const url: Reader<string> = (value, place) =>
  typeof value === 'string' || value === undefined ? value || undefined : wrong(place, value, 'a URL')

const hostAndPort = object({ host: text, port: integer(1, 65_535) })

/** As it stands in a URL: `host`, `host:port`. */
const sentinel: Reader<string> = (value, place) => {
  if (!isObject(value)) return text(value, place)
  const { host, port } = hostAndPort(value, place) ?? {}
  if (host === undefined) return place.at('host').report('is missing') as undefined
  const named = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
  return port === undefined ? named : `${named}:${port}`
}

function oneOrMore<T>(item: Reader<T>, suggestion: string): Reader<readonly T[]> {
  const all = array(item)
  return (value, place) => {
    if (Array.isArray(value) && value.length === 0) place.report('is empty', suggestion)
    return all(value, place)
  }
}

const server = object({
  url,
  cluster: oneOrMore(url, "name a node or more: `['redis://a:7000']`"),
  sentinels: oneOrMore(sentinel, "name a Sentinel or more: `['a:26379']`"),
  name: text,
  username: text,
  password: text,
  database: integer(0, 999_999_999),
  sentinelUsername: text,
  sentinelPassword: text,
  tls: object({ ca: pem, cert: pem, key: pem, servername: text }),
})
type ReadServer = NonNullable<ReturnType<typeof server>>

const oneServer: Reader<ReadServer> = (value, place) =>
  isObject(value) ? server(value, place) : ({ url: url(value, place) } as ReadServer)

export interface ReadRedis {
  server: ReadServer
  /** the others, where there are several */
  named: Readonly<Record<string, ReadServer>> | null
}

export const redis: Reader<ReadRedis> = (value, place) => {
  if (!isObject(value) || !Object.hasOwn(value, DEFAULT)) {
    const one = oneServer(value, place)
    return one && { server: one, named: null }
  }
  // no prototype: a server may be called `constructor`
  const named: Record<string, ReadServer> = Object.create(null)
  for (const [name, one] of Object.entries(value)) {
    checkName(name, place.at(name))
    if (Object.hasOwn(server.fields, name))
      place.at(name).report('is an option of one server, not a name', 'put it into the server that it belongs to')
    const read = oneServer(one, place.at(name))
    if (read !== undefined) named[name] = read
  }
  const { [DEFAULT]: first = {} as ReadServer, ...others } = named
  return { server: first, named: others }
}

/** Which options exclude or need each other, and which servers namespaces may name. */
export function checkRedis({ redis: read, namespaces = {} }: ReadConfig, root: Place): void {
  const place = root.at('redis')
  const named = read?.named ?? null
  if (read) checkServer(read.server, named === null ? place : place.at(DEFAULT))
  for (const [name, one] of Object.entries(named ?? {})) checkServer(one, place.at(name))
  const names = [DEFAULT, ...Object.keys(named ?? {})]
  for (const [name, { redis: chosen }] of Object.entries(namespaces)) {
    if (chosen === undefined || names.includes(chosen)) continue
    const meant = nearest(chosen, names)
    const there = named === null ? 'there is one server, without a name' : `there are: ${names.join(', ')}`
    root
      .at('namespaces')
      .at(name)
      .at('redis')
      .report(`\`${chosen}\` is no server of \`redis\``, meant ? `did you mean '${meant}'?` : there)
  }
}

function checkServer(read: ReadServer, place: Place): void {
  const { tls, url: one, sentinels } = read
  if (tls && one && /^(?:redis|valkey):/i.test(one))
    place.at('tls').report('is set, but the URL is one without TLS', 'write rediss:// in the URL')
  if (tls && (tls.cert === undefined) !== (tls.key === undefined))
    place.at('tls').report('a client certificate needs both `cert` and `key`')
  if (one === 'embedded')
    place.report('a private server is never started because of a file', 'use `--redis embedded` or CACHECTL_EMBEDDED=1')
  const forms = (['url', 'cluster', 'sentinels'] as const).filter((form) => read[form] !== undefined)
  if (forms.length > 1) place.report(`has ${forms.map((form) => `\`${form}\``).join(' and ')}`, 'leave one of them')
  if (sentinels && read.name === undefined)
    place.at('name').report('is missing', "write what the Sentinels call the primary: `name: 'mymaster'`")
  for (const option of ['name', 'username', 'password', 'database', 'sentinelUsername', 'sentinelPassword'] as const)
    if (!sentinels && read[option] !== undefined)
      place.at(option).report('is for Sentinels', 'write it in the URL: redis://user:password@host:6379/0')
  if (read.username !== undefined && read.password === undefined)
    place.at('password').report('is missing: there is a `username`')
}

/** Null where the URL is not set. */
export function resolveRedis(
  read: ReadConfig,
  from: string,
  namespaces: Readonly<Record<string, ResolvedNamespace>>,
): RedisTarget | null {
  if (read.redis === undefined) return null
  const first = target(read.redis.server, from)
  if (first === null || read.redis.named === null) return first
  const others: Record<string, RedisTarget> = Object.create(null)
  for (const [name, one] of Object.entries(read.redis.named))
    others[name] = target(one, from) ?? Object.freeze({ url: '', from, tls: null })
  const named: NamedServers = {
    others: Object.freeze(others),
    prefix: read.prefix ?? '',
    tenantLabel: read.tenant?.label ?? null,
    namespaces: Object.values(namespaces).map(({ name, keyPattern, redis: chosen }) => ({
      name,
      keyPattern,
      server: chosen,
    })),
  }
  return Object.freeze({ ...first, named: Object.freeze(named) })
}

function target(read: ReadServer, from: string): RedisTarget | null {
  const at = urlOf(read)
  if (at === undefined) return null
  const given = Object.entries(read.tls ?? {}).filter(([, value]) => value !== undefined)
  return Object.freeze({ url: at, from, tls: given.length === 0 ? null : Object.freeze(Object.fromEntries(given)) })
}

/** Whatever was written, as the one URL that it could have been. */
function urlOf({ url: one, cluster, sentinels, ...rest }: ReadServer): string | undefined {
  if (cluster) return cluster.join(',')
  if (!sentinels) return one
  const { name = '', username, password, database = 0, sentinelUsername, sentinelPassword } = rest
  const secure = sentinels.some((host) => /^(?:rediss|valkeys):/i.test(host))
  const hosts = sentinels.map((host) => host.replace(/^[a-z]+:\/\//i, '').replace(/\/$/, ''))
  const user = password === undefined ? '' : `${encodeURIComponent(username ?? '')}:${encodeURIComponent(password)}@`
  const own = new URLSearchParams()
  if (sentinelUsername !== undefined) own.set('sentinelUsername', sentinelUsername)
  if (sentinelPassword !== undefined) own.set('sentinelPassword', sentinelPassword)
  const query = own.size === 0 ? '' : `?${own}`
  return `${secure ? 'rediss' : 'redis'}+sentinel://${user}${hosts.join(',')}/${encodeURIComponent(name)}/${database}${query}`
}
