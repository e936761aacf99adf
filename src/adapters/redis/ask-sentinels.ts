// What the Sentinels say: all are asked at once, and of those that answer the word of the newest epoch counts, since one that was cut off goes on naming the
// primary of before.
import type { Socket } from 'node:net'
import type { RedisTarget } from '../../config/resolved.ts'
import { asCachectlError, CachectlError } from '../../core/errors.ts'
import { nearest } from '../../core/nearest.ts'
import { printable } from '../../core/printable.ts'
import { isErrorReply, replyPairs } from '../../core/reply.ts'
import type { CommandArgument, Reply } from '../../ports.ts'
import { askOn } from './ask.ts'
import { describeError } from './errors.ts'
import { openConnection } from './open-connection.ts'
import type { SentinelAddress } from './server-url.ts'
import { endpointOfAddress, type RedisAddress } from './url.ts'

/** Whom a Sentinel names as the primary. */
export interface Named {
  sentinel: RedisAddress
  host: string
  port: number
  /** of the failover that made it one; -1 where the Sentinel does not tell */
  epoch: number
  /** how long the Sentinel has named it, at least */
  forMs: number
  /** of the server; empty where the Sentinel does not know yet, or does not tell */
  runId: string
}

export interface Asking {
  timeoutMs: number
  /** how long the others may take when one has answered */
  othersWithinMs: number
  signal?: AbortSignal
}

/** A Sentinel that does not answer within this time is left out. */
const SENTINEL_WITHIN_MS = 1_000
/** One that did not answer in time when it was asked last holds the others up for no longer than this. */
const SILENT_WITHIN_MS = 50

export class Sentinels {
  readonly #address: SentinelAddress
  readonly #tls: RedisTarget['tls']
  /** null: connections are closed when they have answered */
  #kept: Map<RedisAddress, Socket> | null = null
  readonly #silent = new Set<RedisAddress>()

  constructor(address: SentinelAddress, tls: RedisTarget['tls']) {
    this.#address = address
    this.#tls = tls
  }

  /** Connections stay open between questions from now on, or no more. They keep no process running. */
  set kept(kept: boolean) {
    if (kept === (this.#kept !== null)) return
    for (const socket of this.#kept?.values() ?? []) socket.destroy()
    this.#kept = kept ? new Map() : null
  }

  /** @throws CachectlError REDIS_UNREACHABLE: none answers; REDIS_URL_INVALID: they do not know the name; REDIS_AUTH, REDIS_ACL, REDIS_TLS */
  async ask({ timeoutMs, othersWithinMs, signal }: Asking): Promise<Named> {
    const { name, sentinels } = this.#address
    const enough = new AbortController()
    const until = signal ? AbortSignal.any([enough.signal, signal]) : enough.signal
    const answers: Named[] = []
    const failures = new Map<RedisAddress, CachectlError>()
    const waitingFor = new Set(sentinels)
    await new Promise<void>((resolve) => {
      const heard = (sentinel: RedisAddress): void => {
        waitingFor.delete(sentinel)
        if (waitingFor.size === 0) resolve()
        else if (answers.length > 0) resolveLater()
      }
      const resolveLater = (): void => {
        const onlySilent = [...waitingFor].every((other) => this.#silent.has(other))
        // What has come while this process was busy is read before.
        setTimeout(() => setImmediate(resolve), onlySilent ? SILENT_WITHIN_MS : othersWithinMs).unref()
      }
      for (const sentinel of sentinels)
        this.#askOne(sentinel, Math.min(SENTINEL_WITHIN_MS, timeoutMs), until)
          .then((named) => void answers.push(named))
          .catch((error: unknown) => void failures.set(sentinel, asCachectlError(error)))
          .finally(() => heard(sentinel))
    })
    for (const sentinel of sentinels) {
      if (waitingFor.has(sentinel)) this.#silent.add(sentinel)
      else this.#silent.delete(sentinel)
    }
    enough.abort()
    signal?.throwIfAborted()
    const [first, ...others] = answers
    if (first !== undefined) return others.reduce((newest, one) => (one.epoch > newest.epoch ? one : newest), first)
    throw noneOf(
      sentinels.flatMap((sentinel) => failures.get(sentinel) ?? []),
      name,
    )
  }

  async #askOne(sentinel: RedisAddress, timeoutMs: number, signal: AbortSignal): Promise<Named> {
    const endpoint = endpointOfAddress(sentinel)
    const socket = await this.#connect(sentinel, timeoutMs, signal)
    const until = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    const ask = (...commands: readonly (readonly CommandArgument[])[]) => askOn(socket, commands, until)
    try {
      const { name } = this.#address
      const [answer = null, fields = null] = await ask(
        ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name],
        ['SENTINEL', 'MASTER', name],
      )
      if (isErrorReply(answer)) throw refused(answer, endpoint)
      if (!Array.isArray(answer)) throw unknownName(name, endpoint, (await ask(['SENTINEL', 'MASTERS']))[0] ?? null)
      if (this.#kept?.get(sentinel) !== socket) socket.destroy()
      return { sentinel, host: String(answer[0]), port: Number(answer[1]), ...ageOf(answer, fields) }
    } catch (error) {
      // A late answer would be taken for that of the next question.
      socket.destroy()
      throw tooLate(error, `Sentinel ${endpoint}`) ?? describeError(error, `Sentinel ${endpoint}`)
    }
  }

  async #connect(sentinel: RedisAddress, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
    const kept = this.#kept
    const known = kept?.get(sentinel)
    if (known !== undefined && !known.destroyed) return known
    const opening = { timeoutMs, readOnly: false, signal }
    const socket = await openConnection(sentinel, this.#tls, opening).catch((error: unknown) => {
      throw explainDenied(asCachectlError(error))
    })
    if (kept !== null && kept === this.#kept) kept.set(sentinel, socket.unref())
    return socket
  }
}

/** While a failover is under way the address is the new one's already, and the fields are still the old one's. */
function ageOf([host, port]: readonly Reply[], fields: Reply): Pick<Named, 'epoch' | 'forMs' | 'runId'> {
  const told = replyPairs(fields)
  const epoch = Number(told.get('config-epoch') ?? -1)
  const isSame = told.get('ip') === String(host) && told.get('port') === String(port)
  if (!isSame) return { epoch, forMs: 0, runId: '' }
  return { epoch, forMs: Number(told.get('role-reported-time') ?? 0), runId: told.get('runid') ?? '' }
}

/** Of what ended because its time was over. */
export function tooLate(error: unknown, endpoint: string): CachectlError | null {
  if (!(error instanceof Error && error.name === 'TimeoutError')) return null
  return new CachectlError('REDIS_TIMEOUT', `${endpoint} took the connection, but did not answer in time`)
}

function refused(reply: { error: string; code: string }, endpoint: string): CachectlError {
  if (!/unknown command/i.test(reply.error)) return explainDenied(describeError(reply, `Sentinel ${endpoint}`))
  return new CachectlError('REDIS_URL_INVALID', `${endpoint} is no Sentinel`, {
    hint: 'Sentinels listen on 26379 unless they are told otherwise; for a server alone write redis://host:6379',
  })
}

/** The password of the URL is for the servers. */
function explainDenied(error: CachectlError): CachectlError {
  if (error.code !== 'REDIS_AUTH') return error
  return new CachectlError('REDIS_AUTH', `as a Sentinel, ${error.message}`, {
    hint: 'give what the Sentinels themselves ask for as ?sentinelPassword= (and ?sentinelUsername=), or as `sentinelPassword` in the config',
  })
}

function unknownName(name: string, endpoint: string, all: Reply): CachectlError {
  const known = Array.isArray(all) ? all.map((fields) => replyPairs(fields).get('name') ?? '') : []
  const meant = nearest(name, known)
  return new CachectlError('REDIS_URL_INVALID', `Sentinel ${endpoint} knows no primary called ${printable(name)}`, {
    hint:
      known.length === 0
        ? 'it watches none: is it the right Sentinel?'
        : `${meant ? `did you mean ${printable(meant)}? ` : ''}it knows ${known.map((one) => printable(one)).join(', ')}`,
  })
}

/** Whoever is there but refuses has more to say than those who are not there. */
function noneOf(failures: readonly CachectlError[], name: string): CachectlError {
  const told = failures.find(({ code }) => code !== 'REDIS_UNREACHABLE' && code !== 'REDIS_TIMEOUT')
  if (told !== undefined) return told
  const reasons = failures.map(({ message }) => message).join('; ')
  return new CachectlError('REDIS_UNREACHABLE', `no Sentinel of ${printable(name)} can be reached: ${reasons}`, {
    hint: 'are the hosts and ports right (Sentinels listen on 26379 unless told otherwise), and does the network let you in?',
  })
}
