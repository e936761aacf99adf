// Whole key spaces: filled as fast as a server takes them, and compared byte for byte.
import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import { Redis } from 'ioredis'
import type { TestRedis } from './servers.ts'

const CHUNK_BYTES = 1 << 18

/** SET of each key, `value` bytes long where it is a number, in one stream of commands. */
export async function fillKeys(
  server: TestRedis,
  keys: Iterable<Buffer | string>,
  value: number | ((key: Buffer) => Buffer | string) = 16,
): Promise<number> {
  const socket = connect(server.socketUrl.replace(/^unix:/, ''))
  let sent = 0
  let answered = 0
  const refused: string[] = []
  const done = new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('data', (bytes: Buffer) => {
      for (const byte of bytes) if (byte === 0x0a) answered++
      if (bytes.includes('-')) refused.push(bytes.toString())
      if (answered >= sent && ended) resolve()
    })
  })
  let ended = false
  const fixed = typeof value === 'number' ? Buffer.alloc(value, 'x') : null
  let parts: Buffer[] = []
  let size = 0
  const flush = async () => {
    const bytes = Buffer.concat(parts)
    parts = []
    size = 0
    if (!socket.write(bytes)) await new Promise((resolve) => socket.once('drain', resolve))
  }
  for (const key of keys) {
    const name = typeof key === 'string' ? Buffer.from(key) : key
    const text = fixed ?? Buffer.from((value as (key: Buffer) => Buffer | string)(name) as Buffer)
    const head = Buffer.from(`*3\r\n$3\r\nSET\r\n$${name.length}\r\n`)
    const bytes = Buffer.concat([head, name, Buffer.from(`\r\n$${text.length}\r\n`), text, Buffer.from('\r\n')])
    parts.push(bytes)
    size += bytes.length
    sent++
    if (size >= CHUNK_BYTES) await flush()
  }
  if (sent === 0) {
    socket.destroy()
    return 0
  }
  await flush()
  ended = true
  if (answered < sent) await done
  socket.destroy()
  if (refused.length > 0) throw new Error(refused[0])
  return sent
}

/** A client whose replies are bytes. */
export function openBytes(server: TestRedis): Redis {
  return new Redis({ path: server.socketUrl.replace(/^unix:/, '') })
}

/** Every key there is, as latin1 text. */
export async function keysOf(redis: Redis): Promise<Set<string>> {
  const found = new Set<string>()
  let cursor = '0'
  do {
    const [next, keys] = (await redis.callBuffer('SCAN', cursor, 'COUNT', '5000')) as [Buffer, Buffer[]]
    cursor = next.toString()
    for (const key of keys) found.add(key.toString('latin1'))
  } while (cursor !== '0')
  return found
}

/** Names and values of all keys that are meant, whatever their type, in one hash: equal where nothing of them was touched. */
export async function contentOf(
  redis: Redis,
  isMeant: (key: Buffer) => boolean,
): Promise<{ keys: number; sha256: string }> {
  const names = [...(await keysOf(redis))].map((text) => Buffer.from(text, 'latin1')).filter(isMeant)
  names.sort(Buffer.compare)
  const hash = createHash('sha256')
  for (let start = 0; start < names.length; start += 1_000) {
    const some = names.slice(start, start + 1_000)
    const pipeline = redis.pipeline()
    for (const name of some) pipeline.callBuffer('DUMP', name)
    const dumps = (await pipeline.exec()) as [Error | null, Buffer | null][]
    for (const [index, [error, dump]] of dumps.entries()) {
      if (error) throw error
      const name = some[index] as Buffer
      hash.update(`${name.length}:`).update(name).update(`${dump?.length}:`)
      if (dump) hash.update(dump)
    }
  }
  return { keys: names.length, sha256: hash.digest('hex') }
}
