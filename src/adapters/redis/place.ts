// Where connections go: a server by its address, the first of several nodes that answers, or whoever the Sentinels name just now.
import type { Socket } from 'node:net'
import type { RedisTarget } from '../../config/resolved.ts'
import { asCachectlError, CachectlError } from '../../core/errors.ts'
import { type OpenOptions, openConnection } from './open-connection.ts'
import { PrimaryWatch } from './primary-watch.ts'
import { openPrimary } from './sentinel.ts'
import { endpointOf, parseServerUrl, type SentinelAddress } from './server-url.ts'
import { endpointOfAddress, type RedisAddress } from './url.ts'

export interface Place {
  /** for messages, without secrets: of the server that was opened last, where that can be another one each time */
  readonly endpoint: string
  readonly database: number
  /** @throws CachectlError REDIS_UNREACHABLE, REDIS_TIMEOUT, REDIS_AUTH, REDIS_ACL, REDIS_TLS; REDIS_URL_INVALID of a name that the Sentinels do not know */
  open(options: OpenOptions): Promise<Socket>
  /** Another server, with the same user, password, database and TLS. */
  at(host: string, port: number): Place
  /** of a Sentinel set: one for all connections of a target */
  readonly watch?: PrimaryWatch
}

/** @throws CachectlError REDIS_URL_INVALID */
export function placeOf(target: RedisTarget): Place {
  const address = parseServerUrl(target.url, target.tls)
  if (address.kind === 'nodes') return nodesPlace(address.nodes, target)
  const known = sentinelPlaces.get(target) ?? sentinelPlace(address, target)
  sentinelPlaces.set(target, known)
  return known
}

const sentinelPlaces = new WeakMap<RedisTarget, Place>()

/** A URL may name one node of a Cluster, and that one may go: the others are remembered for as long as the target itself. */
const knownNodes = new WeakMap<RedisTarget, readonly Place[]>()

export function rememberNodes(target: RedisTarget, nodes: readonly Place[]): void {
  knownNodes.set(target, nodes)
}

function nodePlace(address: RedisAddress, tls: RedisTarget['tls']): Place {
  return {
    endpoint: endpointOfAddress(address),
    database: address.database,
    open: (options) => openConnection(address, tls, options),
    at: (host, port) => nodePlace({ ...address, host, port, path: null }, tls),
  }
}

/** A node that does not take the connection at all is left for the next one after this time, where there is a next one. */
const NEXT_AFTER_MS = 1_000

function nodesPlace(addresses: readonly [RedisAddress, ...RedisAddress[]], target: RedisTarget): Place {
  const named = addresses.map((address) => nodePlace(address, target.tls))
  const [first] = named as [Place]
  let last = first
  return {
    get endpoint() {
      return last.endpoint
    },
    database: first.database,
    at: first.at,
    async open(options) {
      const endpoints = new Set(named.map(({ endpoint }) => endpoint))
      const learnt = (knownNodes.get(target) ?? []).filter(({ endpoint }) => !endpoints.has(endpoint))
      const nodes = [last, ...[...named, ...learnt].filter((node) => node !== last)]
      const opened = await firstOf(nodes, options, (node, timeoutMs) => node.open({ ...options, timeoutMs }))
      last = opened.node
      return opened.socket
    },
  }
}

async function firstOf(
  nodes: readonly Place[],
  options: OpenOptions,
  open: (node: Place, timeoutMs: number) => Promise<Socket>,
): Promise<{ node: Place; socket: Socket }> {
  const deadline = performance.now() + options.timeoutMs
  const failures: CachectlError[] = []
  for (const [index, node] of nodes.entries()) {
    const leftMs = Math.ceil(deadline - performance.now())
    if (leftMs <= 0) break
    try {
      return { node, socket: await open(node, index === nodes.length - 1 ? leftMs : Math.min(leftMs, NEXT_AFTER_MS)) }
    } catch (error) {
      options.signal?.throwIfAborted()
      const failure = asCachectlError(error)
      if (failure.code !== 'REDIS_UNREACHABLE' && failure.code !== 'REDIS_TIMEOUT') throw failure
      failures.push(failure)
    }
  }
  throw noneOf(failures)
}

function noneOf(failures: readonly CachectlError[]): CachectlError {
  const [first, ...others] = failures
  if (first === undefined) return new CachectlError('REDIS_UNREACHABLE', 'there was no time to reach any node')
  if (others.length === 0) return first
  return new CachectlError(first.code, `no node answers: ${failures.map(({ message }) => message).join('; ')}`, {
    hint: first.hint,
  })
}

function sentinelPlace(address: SentinelAddress, target: RedisTarget): Place {
  const watch = new PrimaryWatch(address, target.tls)
  let endpoint = endpointOf(target.url)
  return {
    watch,
    get endpoint() {
      return endpoint
    },
    database: address.server.database,
    at: nodePlace(address.server, target.tls).at,
    async open(options) {
      const accepts = watch.accepts.bind(watch)
      const opened = await openPrimary(address, target.tls, { ...options, accepts })
      endpoint = opened.endpoint
      return opened.socket
    },
  }
}
