// The value of a key of any Redis type, bounded: a huge collection is shown by its beginning.
import { decodeEntry, type EntryHeader } from '../core/entry.ts'
import { CachectlError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { Reply, Store } from '../ports.ts'

/** Elements of a collection that are read at most. */
export const MOST_ELEMENTS = 1000

/** How a value came to be what is shown. */
export type ValueFormat = 'entry' | 'json' | 'text' | 'bytes' | 'hash' | 'list' | 'set' | 'zset' | 'stream'

export interface ReadValue {
  format: ValueFormat
  /** of an entry: decoded; of other JSON: parsed; of bytes: escaped text; of collections: arrays and objects */
  value: unknown
  /** strings only: as they stand in Redis */
  raw: Buffer | null
  header: EntryHeader | null
  /** what is in the key and not in `value`, or why an entry could not be decoded */
  notes: string[]
}

/** @throws CachectlError; null when the key is gone meanwhile */
export async function readValue(store: Store, key: Buffer, type: string): Promise<ReadValue | null> {
  const read = READERS[type]
  if (read === undefined) {
    throw new CachectlError('USAGE', `the key is of type ${printable(type)}, which cachectl cannot show`, {
      hint: 'read it with the commands of its module, in redis-cli',
    })
  }
  return read(store, key)
}

const READERS: Readonly<Record<string, (store: Store, key: Buffer) => Promise<ReadValue | null>>> = {
  async string(store, key) {
    const raw = await store.call('GET', key)
    return raw === null ? null : readString(toBuffer(raw))
  },
  async hash(store, key) {
    const pairs = await readPart(store, 'HSCAN', key, 2)
    const size = await sizeOf(store, 'HLEN', key)
    // Field names come from outside: a map, because an object would take `__proto__` for something else.
    const fields = Object.create(null) as Record<string, unknown>
    for (let i = 0; i + 1 < pairs.length; i += 2) fields[shown(pairs[i])] = plain(pairs[i + 1])
    return collection('hash', fields, pairs.length / 2, size)
  },
  async list(store, key) {
    const items = (await store.call('LRANGE', key, 0, MOST_ELEMENTS - 1)) as readonly Reply[]
    return collection('list', items.map(plain), items.length, await sizeOf(store, 'LLEN', key))
  },
  async set(store, key) {
    const items = await readPart(store, 'SSCAN', key, 1)
    return collection('set', items.map(plain), items.length, await sizeOf(store, 'SCARD', key))
  },
  async zset(store, key) {
    const pairs = (await store.call('ZRANGE', key, 0, MOST_ELEMENTS - 1, 'WITHSCORES')) as readonly Reply[]
    const members: unknown[] = []
    for (let i = 0; i + 1 < pairs.length; i += 2)
      members.push({ member: plain(pairs[i]), score: Number(shown(pairs[i + 1])) })
    return collection('zset', members, members.length, await sizeOf(store, 'ZCARD', key))
  },
  async stream(store, key) {
    const entries = (await store.call('XRANGE', key, '-', '+', 'COUNT', MOST_ELEMENTS)) as readonly Reply[]
    const items = entries.map((entry) => {
      const [id, pairs] = entry as readonly [Reply, readonly Reply[]]
      const fields = Object.create(null) as Record<string, unknown>
      for (let i = 0; i + 1 < (pairs ?? []).length; i += 2) fields[shown(pairs[i])] = plain(pairs[i + 1])
      return { id: shown(id), fields }
    })
    return collection('stream', items, items.length, await sizeOf(store, 'XLEN', key))
  },
}

function readString(raw: Buffer): ReadValue {
  const entry = decodeEntry(raw)
  if (entry.ok) return { format: 'entry', value: entry.value, raw, header: entry.header, notes: [] }
  const notes =
    entry.reason === 'foreign' ? [] : [`it begins like an entry of cachectl and cannot be decoded: ${entry.reason}`]
  return { ...readPlain(raw), raw, header: null, notes }
}

function readPlain(raw: Buffer): { format: ValueFormat; value: unknown } {
  const text = raw.toString('utf8')
  if (Buffer.compare(Buffer.from(text), raw) !== 0) return { format: 'bytes', value: printable(raw) }
  if (/^\s*[[{"]/.test(text)) {
    try {
      return { format: 'json', value: JSON.parse(text) as unknown }
    } catch {
      // Text that only looks like JSON.
    }
  }
  return { format: 'text', value: text }
}

function collection(format: ValueFormat, value: unknown, shownSize: number, size: number): ReadValue | null {
  if (size === 0) return null
  const notes = shownSize < size ? [`the first ${shownSize} of ${size} elements`] : []
  return { format, value, raw: null, header: null, notes }
}

/** The first elements of a collection that is read by a cursor. `width`: replies an element has. Small collections come whole, whatever COUNT says. */
async function readPart(
  store: Store,
  command: 'HSCAN' | 'SSCAN',
  key: Buffer,
  width: number,
): Promise<readonly Reply[]> {
  const items: Reply[] = []
  let cursor = '0'
  do {
    const [next, part] = (await store.call(command, key, cursor, 'COUNT', MOST_ELEMENTS)) as readonly [
      Reply,
      readonly Reply[],
    ]
    items.push(...part)
    cursor = shown(next)
  } while (cursor !== '0' && items.length < MOST_ELEMENTS * width)
  return items.slice(0, MOST_ELEMENTS * width)
}

async function sizeOf(store: Store, command: string, key: Buffer): Promise<number> {
  return Number(await store.call(command, key))
}

/** Text as it is, bytes that are none escaped. */
function plain(reply: Reply | undefined): unknown {
  if (!Buffer.isBuffer(reply)) return reply ?? null
  const text = reply.toString('utf8')
  return Buffer.compare(Buffer.from(text), reply) === 0 ? text : printable(reply)
}

function shown(reply: Reply | undefined): string {
  return Buffer.isBuffer(reply) ? printable(reply) : String(reply ?? '')
}

function toBuffer(reply: Reply): Buffer {
  return Buffer.isBuffer(reply) ? reply : Buffer.from(String(reply))
}
