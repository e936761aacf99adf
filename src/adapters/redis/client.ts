// A ready ioredis client for one server. ioredis gets connections that are already open and authenticated, so it never knows the password,
// never retries what cannot succeed, and its own connection options do not apply.
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { AbstractConnector, Redis, type RedisOptions } from 'ioredis'
import type { RedisTarget } from '../../config/resolved.ts'
import { asCachectlError } from '../../core/errors.ts'
import { describeError } from './errors.ts'
import type { OpenOptions } from './open-connection.ts'
import { type Place, placeOf } from './place.ts'

export interface ConnectOptions {
  /** for a connection as a whole, until commands can go: name, socket, TLS, password, loading */
  connectTimeoutMs: number
  /** for each command; afterwards it is unknown whether it was executed */
  replyTimeoutMs: number
  /** lets a replica of a cluster answer reads */
  readOnly?: boolean
  /** One connection that is never opened again. Otherwise a lost one is, within `connectTimeoutMs`; what was under way on it fails at once. */
  dedicated?: boolean
  /** what is being waited for */
  onNote?: (message: string) => void
}

const RECONNECT_AFTER_MS = 100
/** How long `disconnect` waits for the server's side to close. */
const DISCONNECT_WITHIN_MS = 200

/**
 * Connects, and resolves when the server has answered. No command is ever sent twice, and none waits for ever.
 * @throws CachectlError REDIS_URL_INVALID, REDIS_UNREACHABLE, REDIS_TIMEOUT, REDIS_AUTH, REDIS_ACL, REDIS_TLS
 */
export function connect(target: RedisTarget, options: ConnectOptions): Promise<Redis> {
  return connectTo(placeOf(target), options)
}

/** The same for a place that is known. */
export async function connectTo(place: Place, options: ConnectOptions): Promise<Redis> {
  const opening = {
    timeoutMs: options.connectTimeoutMs,
    readOnly: options.readOnly ?? false,
    ...(options.onNote ? { onNote: options.onNote } : {}),
  }
  const redis = new Redis({
    Connector: connectorFor(place, opening),
    lazyConnect: true,
    // The connection has proved to be ready, and has its name, before ioredis gets it.
    enableReadyCheck: false,
    disableClientInfo: true,
    commandTimeout: options.replyTimeoutMs,
    // With 0 ioredis fails what is under way as soon as the connection is lost. (Without `autoResendUnfulfilledCommands`
    // alone such commands would wait for their timeout; with it, a write whose reply was lost would run twice.)
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: !options.dedicated,
    retryStrategy: options.dedicated ? null : () => RECONNECT_AFTER_MS,
  } as RedisOptions)
  // Each failure reaches the caller through the command that it fails; without a listener ioredis prints it.
  redis.on('error', () => {})
  try {
    await redis.connect()
    return redis
  } catch (error) {
    redis.disconnect()
    throw describeError(error, place.endpoint)
  }
}

function connectorFor(place: Place, options: Omit<OpenOptions, 'signal'>) {
  return class Connector extends AbstractConnector {
    #closing = new AbortController()
    #opened = false

    constructor() {
      super(DISCONNECT_WITHIN_MS)
    }

    override async connect(): Promise<Socket> {
      this.#closing = new AbortController()
      const opening = { ...options, signal: this.#closing.signal }
      const socket = await (this.#opened ? reopen(place, opening) : place.open(opening))
      this.#opened = true
      this.stream = socket
      return socket
    }

    override disconnect(): void {
      this.#closing.abort(new Error('Connection is closed.'))
      super.disconnect()
    }
  }
}

/** A server that was there a moment ago may be starting anew: it is tried again until the deadline. */
async function reopen(place: Place, options: OpenOptions): Promise<Socket> {
  const deadline = performance.now() + options.timeoutMs
  for (;;) {
    const timeoutMs = Math.max(1, Math.ceil(deadline - performance.now()))
    try {
      return await place.open({ ...options, timeoutMs })
    } catch (error) {
      if (asCachectlError(error).code !== 'REDIS_UNREACHABLE' || performance.now() + RECONNECT_AFTER_MS > deadline)
        throw error
      await delay(RECONNECT_AFTER_MS, undefined, options.signal ? { signal: options.signal } : {})
    }
  }
}
