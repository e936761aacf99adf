// A page of commands as RESP bytes. Bytes are held in strings of one byte a character ("latin1"): V8 joins and writes
// those several times faster than it copies many small pieces into a Buffer.
import type { CommandArgument, Page } from '../../ports.ts'

/** Longer arguments are sent as they are: joining them would copy them, and strings cannot pass 512 MB. */
const LONG_ARGUMENT = 64 * 1024

export class WirePage implements Page {
  #text = ''
  /** what stands before `#text` */
  #chunks: (string | Buffer)[] = []
  #chunkBytes = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  get sizeBytes(): number {
    return this.#chunkBytes + this.#text.length
  }

  add(...args: readonly CommandArgument[]): void {
    this.#text += `*${args.length}\r\n`
    for (const argument of args) this.#bulk(argument)
    this.#length += 1
  }

  addSet(key: string, value: string | Buffer, ttlMs: number | null, nx: boolean): void {
    this.#text += SET_HEADS[(nx ? 1 : 0) + (ttlMs === null ? 0 : 2)] as string
    this.#bulk(key)
    this.#bulk(value)
    if (nx) this.#text += '$2\r\nNX\r\n'
    if (ttlMs !== null) {
      this.#text += '$2\r\nPX\r\n'
      this.#ascii(String(ttlMs))
    }
    this.#length += 1
  }

  /** Bytes in their order; strings are to be written as `latin1`. */
  chunks(): readonly (string | Buffer)[] {
    return this.#text === '' ? this.#chunks : [...this.#chunks, this.#text]
  }

  #bulk(argument: CommandArgument): void {
    if (typeof argument === 'string') {
      const sizeBytes = Buffer.byteLength(argument)
      if (sizeBytes === argument.length) this.#ascii(argument)
      else this.#bytes(Buffer.from(argument))
    } else if (typeof argument === 'number') this.#ascii(String(argument))
    else this.#bytes(argument)
  }

  #ascii(text: string): void {
    this.#text += `$${text.length}\r\n`
    if (text.length >= LONG_ARGUMENT) this.#chunk(text)
    else this.#text += text
    this.#text += '\r\n'
  }

  #bytes(bytes: Buffer): void {
    this.#text += `$${bytes.length}\r\n`
    if (bytes.length >= LONG_ARGUMENT) this.#chunk(bytes)
    else this.#text += bytes.toString('latin1')
    this.#text += '\r\n'
  }

  #chunk(argument: string | Buffer): void {
    this.#chunks.push(this.#text, argument)
    this.#chunkBytes += this.#text.length + argument.length
    this.#text = ''
  }
}

/** By `nx` + 2 x `px`. */
const SET_HEADS = [3, 4, 5, 6].map((args) => `*${args}\r\n$3\r\nSET\r\n`)
