// Listens in on a Node response while its handler writes it: everything still goes to the client, and up to a size it is kept as well.
import type { ServerResponse } from 'node:http'
import type { HeaderList } from './captured.ts'
import { deafen } from './deafen.ts'

/**
 * What becomes of a response, said before its head is sent. `keep`: sent and kept. `headless`: kept, and the client, who has it already, gets the
 * head alone. `pass`: sent, not kept. `swallow`: nothing of it is sent.
 */
export type Course = 'keep' | 'headless' | 'pass' | 'swallow'

export interface CaptureHooks {
  maxBytes: number
  /** Called once; may set headers. `body` is the whole of it where it is known by then: it was sent with one call of `end`. */
  head(body: Buffer | null): Course
  /** All of it was sent. Only of what is kept. */
  complete(body: Buffer): void
  /** It will not be complete. */
  cut(reason: 'aborted' | 'size' | 'length' | 'trailers'): void
}

export interface Capture {
  /** Nothing of the handler's has been sent, nor will be without its head being decided on. */
  readonly silent: boolean
  /** Sends another response instead of one that is silent: what the handler still writes goes nowhere. */
  instead(send: () => void): void
}

type Chunk = string | Uint8Array
type Callback = (error?: Error | null) => void

export function captureResponse(res: ServerResponse, hooks: CaptureHooks): Capture {
  const { writeHead, write, end, addTrailers } = res
  let course: Course | null = null
  let chunks: Buffer[] = []
  let sizeBytes = 0
  let ended = false
  /** within the original methods, which call each other on the response */
  let inside = 0

  const within = <T>(work: () => T): T => {
    inside++
    try {
      return work()
    } finally {
      inside--
    }
  }
  const decide = (body: Buffer | null): void => {
    if (course === null) course = within(() => hooks.head(body))
  }
  const keeps = () => course === 'keep' || course === 'headless'
  const cut = (reason: 'aborted' | 'size' | 'length' | 'trailers'): void => {
    chunks = []
    if (ended) return
    if (keeps()) course = 'pass'
    hooks.cut(reason)
  }
  const keep = (bytes: Buffer): void => {
    sizeBytes += bytes.length
    if (sizeBytes > hooks.maxBytes) cut('size')
    else chunks.push(bytes)
  }
  res.once('close', () => cut('aborted'))

  res.writeHead = function (this: ServerResponse, ...args: unknown[]) {
    if (inside > 0) return writeHead.apply(res, args as never)
    if (course === null) {
      const [status, second, third] = args as [number, unknown, unknown]
      res.statusCode = status
      if (typeof second === 'string') res.statusMessage = second
      setHeaders(res, typeof second === 'string' ? third : second)
      decide(null)
      args = [res.statusCode]
    }
    return course === 'swallow' ? res : within(() => writeHead.apply(res, args as never))
  } as typeof res.writeHead

  res.write = function (this: ServerResponse, chunk: Chunk, second?: unknown, third?: Callback) {
    if (inside > 0) return write.call(res, chunk as string, second as BufferEncoding, third)
    const encoding = typeof second === 'string' ? (second as BufferEncoding) : undefined
    const callback = typeof second === 'function' ? (second as Callback) : third
    decide(null)
    if (course === 'swallow') return swallowed(callback)
    const room = within(() => write.call(res, chunk as string, encoding as BufferEncoding, callback))
    if (!keeps()) return room
    // The caller may use its buffer again.
    keep(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : Buffer.from(chunk))
    // As long as it is kept it goes at the pace of the handler: a client that reads slowly must not hold up the others. The size is bounded.
    return keeps() || room
  } as typeof res.write

  res.end = function (this: ServerResponse, ...args: unknown[]) {
    if (inside > 0 || ended) return end.apply(res, args as never)
    const callback = args.find((arg) => typeof arg === 'function') as Callback | undefined
    const [chunk, second] = args.filter((arg) => typeof arg !== 'function') as [Chunk | null | undefined, unknown]
    const encoding = typeof second === 'string' ? (second as BufferEncoding) : undefined
    const last = chunk === null || chunk === undefined ? Buffer.alloc(0) : toBytes(chunk, encoding)
    decide(chunks.length === 0 && last !== null ? last : null)
    if (course === 'swallow') {
      ended = true
      swallowed(callback)
      return res
    }
    const length = res.getHeader('content-length')
    within(() =>
      course === 'headless' ? end.call(res, undefined, 'utf8', callback as () => void) : end.apply(res, args as never),
    )
    if (keeps() && last !== null) keep(last)
    if (keeps() && course === 'keep' && length !== undefined && Number(length) !== sizeBytes) cut('length')
    if (keeps()) hooks.complete(Buffer.concat(chunks))
    ended = true
    chunks = []
    return res
  } as typeof res.end

  res.addTrailers = (...args) => {
    cut('trailers')
    return addTrailers.apply(res, args)
  }

  return {
    get silent() {
      return course === null || course === 'swallow'
    },
    instead(send) {
      deafen(res, () => inside > 0)
      course = 'swallow'
      within(send)
    },
  }
}

function swallowed(callback: Callback | undefined): true {
  if (callback) process.nextTick(callback)
  return true
}

/** Null: no chunk; the original says what is wrong with it. */
function toBytes(chunk: unknown, encoding: BufferEncoding | undefined): Buffer | null {
  if (typeof chunk === 'string') return Buffer.from(chunk, encoding)
  return chunk instanceof Uint8Array ? Buffer.from(chunk) : null
}

/** In all forms that `writeHead` takes: an object, a list of pairs, a flat list. */
function setHeaders(res: ServerResponse, headers: unknown): void {
  if (headers === null || typeof headers !== 'object') return
  if (!Array.isArray(headers)) {
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) res.setHeader(name, value as string)
    return
  }
  const pairs = Array.isArray(headers[0])
    ? (headers as [string, string][])
    : headers.flatMap((name, at) => (at % 2 === 0 ? [[name, headers[at + 1]] as [string, string]] : []))
  const values = new Map<string, string[]>()
  for (const [name, value] of pairs) values.set(name, [...(values.get(name) ?? []), ...[value].flat().map(String)])
  for (const [name, all] of values) res.setHeader(name, all.length === 1 ? (all[0] as string) : all)
}

/** The headers as they are set now, with names as they were written. */
export function headersOf(res: ServerResponse): HeaderList {
  // Of every outgoing message since Node 15.4; the types know it of requests alone.
  const names = (res as unknown as { getRawHeaderNames(): string[] }).getRawHeaderNames()
  return names.flatMap((name) => [res.getHeader(name)].flat().map((value) => [name, String(value)] as const))
}
