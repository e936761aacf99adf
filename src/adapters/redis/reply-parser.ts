// RESP2 replies out of a stream that may be cut anywhere. Accepts what pages can give and nothing else.
import { errorReply } from '../../core/reply.ts'
import type { Reply } from '../../ports.ts'

/** Bytes that are no reply, or a reply over the limits: the connection is of no use after it. */
export class ReplyFormatError extends Error {}

export const MAX_REPLY_BYTES = 512 * 1024 * 1024
/** XREAD has the deepest: streams, of each its name and entries, of each its id and fields. */
const MAX_DEPTH = 5
/** Statuses and errors; the longest real ones (errors of scripts) have a few KB. */
const MAX_LINE_BYTES = 64 * 1024
/** What an element of an array is charged, so that `*4000000000` is refused at once. */
const ELEMENT_BYTES = 16
const INT64_DIGITS = 19
const SAFE_DIGITS = 15

const CR = 13
const LF = 10
const PLUS = 43
const MINUS = 45
const COLON = 58
const DOLLAR = 36
const STAR = 42
const INCOMPLETE = -1
const EMPTY = Buffer.alloc(0)
const STATUSES = ['OK', 'QUEUED'].map((text) => ({ text, wire: Buffer.from(`+${text}\r\n`) }))

interface OpenArray {
  items: Reply[]
  size: number
}

/**
 * Calls `onReply` for each complete reply. Bulk strings are views of the bytes that were pushed: copy what is to be kept for long.
 * Integers beyond 2^53 lose precision.
 */
export class ReplyParser {
  readonly #onReply: (reply: Reply) => void
  readonly #maxReplyBytes: number
  /** the beginning of a line whose end has not come */
  #line: Buffer = EMPTY
  /** a bulk string and its CRLF whose end has not come, and how much of it has */
  #bulk: Buffer | null = null
  #bulkFilled = 0
  #open: OpenArray[] = []
  #budgetBytes: number
  #integer = 0

  constructor(onReply: (reply: Reply) => void, maxReplyBytes = MAX_REPLY_BYTES) {
    this.#onReply = onReply
    this.#maxReplyBytes = maxReplyBytes
    this.#budgetBytes = maxReplyBytes
  }

  /** @throws ReplyFormatError; the parser must not be used after it. */
  push(bytes: Buffer): void {
    const from = this.#bulk === null ? 0 : this.#fillBulk(this.#bulk, bytes)
    if (from === INCOMPLETE) return
    if (this.#line.length === 0) {
      this.#parse(bytes, from)
    } else {
      const joined = Buffer.concat([this.#line, bytes])
      this.#line = EMPTY
      this.#parse(joined, 0)
    }
  }

  #parse(bytes: Buffer, from: number): void {
    const end = bytes.length
    let at = from
    while (at < end) {
      const next = this.#parseOne(bytes, at, end)
      if (next === INCOMPLETE) {
        if (end - at > MAX_LINE_BYTES) throw unexpected(bytes, at, 'a line without end')
        this.#line = bytes.subarray(at)
        return
      }
      at = next
    }
  }

  /** The offset after the element at `at`; INCOMPLETE if its first line is not there to its end. */
  #parseOne(bytes: Buffer, at: number, end: number): number {
    switch (bytes[at]) {
      case COLON: {
        const next = this.#readInteger(bytes, at + 1, end)
        if (next !== INCOMPLETE) this.#emit(this.#integer)
        return next
      }
      case DOLLAR: {
        const next = this.#readInteger(bytes, at + 1, end)
        return next === INCOMPLETE ? next : this.#startBulk(bytes, at, next, end)
      }
      case STAR: {
        const next = this.#readInteger(bytes, at + 1, end)
        if (next !== INCOMPLETE) this.#startArray(bytes, at)
        return next
      }
      case PLUS:
        return this.#status(bytes, at, end)
      case MINUS: {
        const lineEnd = findLineEnd(bytes, at, end)
        if (lineEnd === INCOMPLETE) return lineEnd
        this.#emit(errorReply(bytes.toString('utf8', at + 1, lineEnd)))
        return lineEnd + 2
      }
      default:
        throw unexpected(bytes, at, 'bytes that are no reply')
    }
  }

  /** Reads digits and CRLF into `#integer`. */
  #readInteger(bytes: Buffer, from: number, end: number): number {
    const negative = bytes[from] === MINUS
    const first = negative ? from + 1 : from
    let at = first
    let value = 0
    while (at < end) {
      const digit = (bytes[at] as number) - 48
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
      at += 1
    }
    if (at - first > INT64_DIGITS) throw unexpected(bytes, from - 1, 'an integer of too many digits')
    if (at >= end) return INCOMPLETE
    if (at === first || bytes[at] !== CR) throw unexpected(bytes, from - 1, 'a malformed integer')
    if (at + 1 >= end) return INCOMPLETE
    if (bytes[at + 1] !== LF) throw unexpected(bytes, from - 1, 'a malformed integer')
    // Adding up rounds at each digit past 2^53; Number rounds once.
    const exact = at - first > SAFE_DIGITS ? Number(bytes.toString('latin1', first, at)) : value
    this.#integer = negative ? 0 - exact : exact
    return at + 2
  }

  #startBulk(bytes: Buffer, at: number, from: number, end: number): number {
    const size = this.#integer
    if (size === -1) {
      this.#emit(null)
      return from
    }
    this.#charge(size, bytes, at)
    const bodyEnd = from + size
    if (bodyEnd + 2 <= end) {
      if (bytes[bodyEnd] !== CR || bytes[bodyEnd + 1] !== LF)
        throw unexpected(bytes, bodyEnd, 'a bulk string of another length')
      this.#emit(bytes.subarray(from, bodyEnd))
      return bodyEnd + 2
    }
    this.#bulk = Buffer.allocUnsafe(size + 2)
    this.#bulkFilled = bytes.copy(this.#bulk, 0, from, end)
    return end
  }

  /** The offset in `bytes` after the bulk string; INCOMPLETE if more of it is to come. */
  #fillBulk(bulk: Buffer, bytes: Buffer): number {
    const copied = bytes.copy(bulk, this.#bulkFilled)
    this.#bulkFilled += copied
    if (this.#bulkFilled < bulk.length) return INCOMPLETE
    this.#bulk = null
    const size = bulk.length - 2
    if (bulk[size] !== CR || bulk[size + 1] !== LF) throw unexpected(bulk, size, 'a bulk string of another length')
    this.#emit(bulk.subarray(0, size))
    return copied
  }

  #startArray(bytes: Buffer, at: number): void {
    const size = this.#integer
    if (size === -1) {
      this.#emit(null)
      return
    }
    this.#charge(size * ELEMENT_BYTES, bytes, at)
    if (this.#open.length >= MAX_DEPTH) throw unexpected(bytes, at, `arrays deeper than ${MAX_DEPTH}`)
    if (size === 0) this.#emit([])
    else this.#open.push({ items: [], size })
  }

  #charge(sizeBytes: number, bytes: Buffer, at: number): void {
    if (sizeBytes < 0) throw unexpected(bytes, at, 'a negative length')
    this.#budgetBytes -= sizeBytes
    if (this.#budgetBytes < 0) throw unexpected(bytes, at, `a reply over ${this.#maxReplyBytes} bytes`)
  }

  #status(bytes: Buffer, at: number, end: number): number {
    for (const { text, wire } of STATUSES) {
      if (!startsWith(bytes, at, wire)) continue
      this.#emit(text)
      return at + wire.length
    }
    const lineEnd = findLineEnd(bytes, at, end)
    if (lineEnd === INCOMPLETE) return lineEnd
    this.#emit(bytes.toString('utf8', at + 1, lineEnd))
    return lineEnd + 2
  }

  #emit(reply: Reply): void {
    let complete = reply
    for (let array = this.#open.at(-1); array !== undefined; array = this.#open.at(-1)) {
      array.items.push(complete)
      if (array.items.length < array.size) return
      complete = array.items
      this.#open.pop()
    }
    this.#budgetBytes = this.#maxReplyBytes
    this.#onReply(complete)
  }
}

function findLineEnd(bytes: Buffer, at: number, end: number): number {
  const lineEnd = bytes.indexOf(CR, at)
  if (lineEnd === -1 || lineEnd + 1 >= end) return INCOMPLETE
  if (lineEnd - at > MAX_LINE_BYTES || bytes[lineEnd + 1] !== LF) throw unexpected(bytes, at, 'a malformed line')
  return lineEnd
}

function startsWith(bytes: Buffer, at: number, wire: Buffer): boolean {
  for (let i = 0; i < wire.length; i += 1) if (bytes[at + i] !== wire[i]) return false
  return true
}

function unexpected(bytes: Buffer, at: number, what: string): ReplyFormatError {
  const shown = bytes.toString('latin1', at, at + 32).replace(/[^\x20-\x7e]/g, '.')
  return new ReplyFormatError(`${what} ("${shown}")`)
}
