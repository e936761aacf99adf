// A page of commands as RESP bytes, in pieces of a fixed size: each command is joined as text and written once.
import type { CommandArgument, Page } from '../../ports.ts'

/** Longer arguments are sent as they are: joining them would copy them, and strings cannot pass 512 MB. */
const LONG_ARGUMENT = 64 * 1024
/** A page of a few short commands stays text: a buffer of its own would cost more than to write it. */
const SHORT_PAGE = 4 * 1024
const PIECE = 64 * 1024
const NOTHING = Buffer.alloc(0)

export class WirePage implements Page {
  /** ASCII, of a page that is short until now */
  #text = ''
  #piece = NOTHING
  #used = 0
  /** what stands before `#piece` */
  #chunks: (string | Buffer)[] = []
  #chunkBytes = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  get sizeBytes(): number {
    return this.#text.length + this.#chunkBytes + this.#used
  }

  add(...args: readonly CommandArgument[]): void {
    let text = `*${args.length}\r\n`
    for (const argument of args) text = this.#bulk(text, argument)
    this.#put(text)
    this.#length += 1
  }

  addSet(key: string, value: string | Buffer, ttlMs: number | null, nx: boolean, valueBytes?: number): void {
    const sizeBytes = valueBytes ?? Buffer.byteLength(value)
    let text = this.#bulk(SET_HEADS[(nx ? 1 : 0) + (ttlMs === null ? 0 : 2)] as string, key)
    text = this.#sized(text, value, sizeBytes)
    if (nx) text += '$2\r\nNX\r\n'
    if (ttlMs !== null) {
      const ttl = String(ttlMs)
      text += `$2\r\nPX\r\n$${ttl.length}\r\n${ttl}\r\n`
    }
    this.#put(text)
    this.#length += 1
  }

  /** Bytes in their order; strings are ASCII. */
  chunks(): readonly (string | Buffer)[] {
    if (this.#text !== '') return [this.#text]
    return this.#used === 0 ? this.#chunks : [...this.#chunks, this.#piece.subarray(0, this.#used)]
  }

  /** Adds the argument to the text of its command; what cannot be joined is written, with the text before it. */
  #bulk(text: string, argument: CommandArgument): string {
    if (typeof argument === 'number') return this.#sized(text, String(argument))
    return this.#sized(text, argument)
  }

  #sized(text: string, argument: string | Buffer, sizeBytes = Buffer.byteLength(argument)): string {
    const head = `${text}$${sizeBytes}\r\n`
    if (sizeBytes >= LONG_ARGUMENT) {
      this.#put(head)
      // of a string, one byte a character: others become bytes first
      this.#chunk(typeof argument === 'string' && sizeBytes !== argument.length ? Buffer.from(argument) : argument)
    } else if (typeof argument !== 'string') {
      this.#put(head)
      this.#reserve(sizeBytes)
      this.#piece.set(argument, this.#used)
      this.#used += sizeBytes
    } else if (sizeBytes === argument.length) {
      return `${head}${argument}\r\n`
    } else {
      this.#put(head)
      this.#reserve(sizeBytes)
      this.#used += this.#piece.write(argument, this.#used, 'utf8')
    }
    return '\r\n'
  }

  #put(ascii: string): void {
    if (this.#piece === NOTHING && this.#chunks.length === 0 && this.#text.length + ascii.length <= SHORT_PAGE) {
      this.#text += ascii
      return
    }
    this.#reserve(ascii.length)
    this.#used += this.#piece.write(ascii, this.#used, 'latin1')
  }

  #reserve(sizeBytes: number): void {
    if (this.#text !== '') this.#leaveText()
    if (this.#used + sizeBytes <= this.#piece.length) return
    this.#close()
    this.#piece = Buffer.allocUnsafe(Math.max(PIECE, sizeBytes))
  }

  /** It is short no more, or holds what is no ASCII. */
  #leaveText(): void {
    this.#piece = Buffer.allocUnsafe(2 * SHORT_PAGE)
    this.#used = this.#piece.write(this.#text, 0, 'latin1')
    this.#text = ''
  }

  #chunk(argument: string | Buffer): void {
    if (this.#text !== '') this.#leaveText()
    this.#close()
    this.#chunks.push(argument)
    this.#chunkBytes += argument.length
  }

  #close(): void {
    if (this.#used > 0) this.#chunks.push(this.#piece.subarray(0, this.#used))
    this.#chunkBytes += this.#used
    this.#piece = this.#piece.subarray(this.#used)
    this.#used = 0
  }
}

/** By `nx` + 2 x `px`. */
const SET_HEADS = [3, 4, 5, 6].map((args) => `*${args}\r\n$3\r\nSET\r\n`)
