// Why a connection could not be opened, where its own error does not tell: asks the port again, without any secret.
import { connect as connectPlain } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describeReply } from '../../core/error-reply.ts'
import { CachectlError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'
import type { RedisAddress } from './url.ts'

const PROBE_WITHIN_MS = 500
const MAX_QUOTED_LENGTH = 80

/** A server hung up before it said anything: it may have said why too early for us to hear, or the other side of TLS. */
export async function explainClosed(
  address: RedisAddress,
  endpoint: string,
  signal: AbortSignal,
): Promise<CachectlError> {
  const listening = firstWords(address, '', signal)
  if (!address.tls && !address.path && (await speaksTls(address, signal))) return tlsPort(endpoint)
  const greeting = await listening
  if (greeting.startsWith('-')) return describeReply(greeting.slice(1).trim(), endpoint)
  if (address.tls && (await answersPlainly(address, signal))) return plainPort(endpoint)
  return new CachectlError('REDIS_UNREACHABLE', `${endpoint} closed the connection before it answered`, {
    hint: 'is this the port of Redis, and is there a proxy between that has lost it?',
  })
}

/** Whether something there answers without TLS. */
export async function answersPlainly(address: RedisAddress, signal: AbortSignal): Promise<boolean> {
  return isText(await firstWords(address, 'PING\r\n', signal))
}

export function plainPort(endpoint: string): CachectlError {
  const hint = 'use redis:// for a plain port, or the TLS port of this server'
  return new CachectlError('REDIS_TLS', `${endpoint} does not speak TLS on this port`, { hint })
}

export function tlsPort(endpoint: string): CachectlError {
  const hint = 'use rediss:// for a TLS port, and name a private CA with `tls: { ca }`'
  return new CachectlError('REDIS_TLS', `${endpoint} speaks TLS, and the URL asks for a plain connection`, { hint })
}

export function notRedis(endpoint: string, line: string): CachectlError {
  const quoted = printable(Buffer.from(line.slice(0, MAX_QUOTED_LENGTH), 'latin1'))
  return new CachectlError('REDIS_UNREACHABLE', `${endpoint} is no Redis server: it answered "${quoted}"`, {
    hint: 'is this the port of Redis?',
  })
}

/** A TLS server answers a plain question with an alert, which is binary. */
function isText(answer: string): boolean {
  return /^[\x20-\x7e]/.test(answer)
}

/** What a plain connection gets to hear after `question`; empty when nothing comes in time. */
function firstWords(address: RedisAddress, question: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectPlain(
      address.path ? { path: address.path } : { host: address.host as string, port: address.port },
    )
    const done = (words: string) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', silent)
      socket.destroy()
      resolve(words)
    }
    const silent = () => done('')
    const timer = setTimeout(silent, PROBE_WITHIN_MS)
    signal.addEventListener('abort', silent)
    for (const event of ['error', 'close']) socket.on(event, silent)
    socket.once('data', (chunk) => done(chunk.toString('latin1')))
    if (question) socket.write(question)
  })
}

/** Any certificate, also one that would not be trusted, shows that TLS is spoken there. Nothing is sent over it. */
function speaksTls(address: RedisAddress, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTls({ host: address.host as string, port: address.port })
    const done = (secure: boolean) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', no)
      socket.destroy()
      resolve(secure)
    }
    const no = () => done(false)
    const timer = setTimeout(no, PROBE_WITHIN_MS)
    signal.addEventListener('abort', no)
    socket.once('secureConnect', () => done(true))
    socket.on('close', no)
    socket.on('error', (error: NodeJS.ErrnoException) => {
      done(/CERT|SELF_SIGNED|UNABLE_TO_|ALERT/.test(error.code ?? ''))
    })
  })
}
