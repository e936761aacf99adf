// What a failed connection or whatever a client threw means to a person: which code, which cause, what to do next.
// Errors of ioredis and of sockets are not kept as causes: they carry arguments of commands, which may be secrets or data.
import { describeReply } from '../../core/error-reply.ts'
import { asCachectlError, CachectlError } from '../../core/errors.ts'
import { printable } from '../../core/printable.ts'

/**
 * Anything that ioredis, a socket or a lane threw, and error replies as values (`{ error, code }`), as an error that names the cause.
 * `endpoint` is `endpointOf(url)`.
 */
export function describeError(error: unknown, endpoint: string): CachectlError {
  if (error instanceof CachectlError) return error
  const text = replyText(error)
  if (text !== null) return describeReply(text, endpoint, commandName(error))
  const code = errorCode(error)
  if (code !== null) return describeSocketError(code, error as Error, endpoint)
  return describeClientError(error, endpoint)
}

const MAX_TEXT_LENGTH = 300

/** The text of an error reply; null for anything else. */
function replyText(error: unknown): string | null {
  if (typeof error !== 'object' || error === null) return null
  const isReply = error instanceof Error ? error.name === 'ReplyError' : 'error' in error
  if (!isReply) return null
  return String(error instanceof Error ? error.message : (error as { error: unknown }).error)
}

function commandName(error: unknown): string | null {
  const name = (error as { command?: { name?: unknown } }).command?.name
  return typeof name === 'string' ? name.toUpperCase() : null
}

function errorCode(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code
  return error instanceof Error && typeof code === 'string' ? code : null
}

const UNREACHABLE: Readonly<Record<string, readonly [message: string, hint: string]>> = {
  ECONNREFUSED: ['refuses connections: nothing listens there', 'is Redis running there?'],
  ENOTFOUND: [
    'cannot be found: its name is unknown',
    'is the host name in the URL right, and is DNS reachable from here?',
  ],
  EAI_AGAIN: ['cannot be found: the name service does not answer', 'is DNS reachable from here?'],
  ETIMEDOUT: [
    'cannot be reached: no answer to the connection attempt',
    'is the host right, and does a firewall or security group let you in?',
  ],
  EHOSTUNREACH: [
    'cannot be reached: there is no route to it',
    'are you in the right network (VPN, container network)?',
  ],
  ENETUNREACH: [
    'cannot be reached: there is no route to its network',
    'are you in the right network (VPN, container network)?',
  ],
  ENOENT: ['is not there: no such socket', 'is Redis running, and does its `unixsocket` setting name this path?'],
  ENOTSOCK: ['is no socket', "does the server's `unixsocket` setting name this path?"],
  EACCES: [
    'may not be opened by this user',
    "the server's `unixsocketperm` setting and the folder's mode decide who may",
  ],
}

function describeSocketError(code: string, error: Error, endpoint: string): CachectlError {
  const known = UNREACHABLE[code]
  if (known) return new CachectlError('REDIS_UNREACHABLE', `${endpoint} ${known[0]} (${code})`, { hint: known[1] })
  const tls = describeTls(code, error)
  if (tls) return new CachectlError('REDIS_TLS', `${endpoint} ${tls[0]} (${code})`, { hint: tls[1] })
  return new CachectlError('REDIS_UNREACHABLE', `the connection to ${endpoint} was lost (${code})`)
}

/** Never advises to turn verification off. */
function describeTls(code: string, error: Error): readonly [message: string, hint?: string] | null {
  const trust = 'name the certificate of the CA that signed it with `tls: { ca }`'
  if (/SELF_SIGNED|UNABLE_TO_(GET|VERIFY)/.test(code))
    return ['has a TLS certificate from a CA that is not trusted here', trust]
  if (code === 'CERT_HAS_EXPIRED')
    return [
      'has a TLS certificate that has expired',
      "renew the server's certificate (and look at this machine's clock)",
    ]
  if (code === 'CERT_NOT_YET_VALID')
    return ['has a TLS certificate that is not valid yet', "look at the clocks of this machine and the server's"]
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const names = printable(
      (error as { cert?: { subjectaltname?: string } }).cert?.subjectaltname ?? 'another name',
    ).slice(0, MAX_TEXT_LENGTH)
    return [`has a TLS certificate for ${names}`, 'use that name in the URL, or give it as `tls: { servername }`']
  }
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNKNOWN_PROTOCOL/.test(code)) {
    return ['does not speak TLS on this port', 'use redis:// for a plain port, or the TLS port of this server']
  }
  if (/ALERT_CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE|ALERT_BAD_CERTIFICATE|ALERT_UNKNOWN_CA/.test(code)) {
    return [
      'refused the TLS connection: it asks for a client certificate that it trusts',
      'name one with `tls: { cert, key }`',
    ]
  }
  if (/^(ERR_(TLS|SSL|OSSL)_|EPROTO$|CERT_)/.test(code))
    return [`failed in TLS: ${printable(error.message).slice(0, MAX_TEXT_LENGTH)}`]
  return null
}

/** What ioredis says in words only. */
function describeClientError(error: unknown, endpoint: string): CachectlError {
  const { name = '', message = '' } = error instanceof Error ? error : {}
  if (/timed out|Socket timeout/i.test(message)) {
    return new CachectlError(
      'REDIS_TIMEOUT',
      `${endpoint} did not answer in time; whether it has executed the command is unknown`,
    )
  }
  if (/Connection is closed|isn't writeable|Command aborted/i.test(message) || name === 'MaxRetriesPerRequestError') {
    return new CachectlError(
      'REDIS_UNREACHABLE',
      `the connection to ${endpoint} was lost; whether it has executed the command is unknown`,
    )
  }
  return asCachectlError(error)
}
