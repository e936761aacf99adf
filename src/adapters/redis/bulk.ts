// Guarded bulk writes on one dedicated connection: what was captured before a load must still be there, or nothing is written.
// WATCH holds the guard over the load; where single rows must be guarded, a lease and a one-key script do.
import { randomBytes } from 'node:crypto'
import { decodeHeader, HEADER_PROBE_BYTES } from '../../core/entry.ts'
import { EPOCH_FIELD, fenceKey, generationsKey, INCARNATION_FIELD, leaseKey, stampKey } from '../../core/key.ts'
import { RELEASE } from '../../core/lease-script.ts'
import { isErrorReply } from '../../core/reply.ts'
import { CAPTURE_STAMP } from '../../core/stamp-script.ts'
import type { BulkLane, BulkOutcome, Capture, Lane, Reply } from '../../ports.ts'
import { describeError } from './errors.ts'

/** 96 random bits: unique for ever, so that no token ever means "the same as before" again. */
export function newToken(): string {
  return randomBytes(12).toString('base64url')
}

/** Leases that a killed run leaves lapse with its lock. */
const LEASE_MS = 30_000

/**
 * Writes one entry if its lease is ours, if nothing that was captured before the load has changed, and if the entry is what was observed.
 * KEYS: entry, lease, control hash, fences. ARGV: token, value, ttl in ms or '', what was observed (`absent`, `same`, `other`), its first
 * bytes, incarnation, epoch, the fences' values. 0: refused, 1: written, 2: somebody else wrote it.
 */
const FILL = `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local control = redis.call('HMGET', KEYS[3], '${INCARNATION_FIELD}', '${EPOCH_FIELD}')
if control[1] ~= ARGV[6] or control[2] ~= ARGV[7] then return 0 end
for i = 4, #KEYS do if redis.call('GET', KEYS[i]) ~= ARGV[i + 4] then return 0 end end
local type = redis.call('TYPE', KEYS[1]).ok
if ARGV[4] == 'absent' and type ~= 'none' then return 2 end
if ARGV[4] == 'other' and type == 'string' then return 2 end
if ARGV[4] == 'same' and (type ~= 'string' or redis.call('GETRANGE', KEYS[1], 0, #ARGV[5] - 1) ~= ARGV[5]) then return 2 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`

/** @throws CachectlError */
export async function openBulkLane(lane: Lane, prefix: string): Promise<BulkLane> {
  const control = generationsKey(prefix)
  const run = async (build: (page: ReturnType<Lane['page']>) => void): Promise<readonly Reply[]> => {
    const page = lane.page()
    build(page)
    return page.length === 0 ? [] : lane.run(page)
  }

  // Asked before anything is written: SETs behind a MULTI that was refused would run without their guard.
  const asked = await run((page) => {
    page.add('WATCH', control)
    page.add('UNWATCH')
    page.add('MULTI')
    page.add('EXEC')
  })
  const pages = !asked.some(isErrorReply)

  /** Headers that go on behind what was read of them are read again, whole. */
  const wholeHeaders = async (keys: readonly string[], replies: readonly Reply[]): Promise<(Buffer | null)[]> => {
    const headers = replies.map(headerOrNull)
    const longer = headers.flatMap((header, index) => {
      const decoded = header === null ? null : decodeHeader(header)
      const needBytes = decoded === null || decoded.ok ? 0 : (decoded.needBytes ?? 0)
      return needBytes > HEADER_PROBE_BYTES ? [{ index, needBytes }] : []
    })
    const more = await run((page) => {
      for (const { index, needBytes } of longer) page.add('GETRANGE', keys[index] as string, 0, needBytes - 1)
    })
    longer.forEach(({ index }, at) => {
      headers[index] = headerOrNull(more[at] ?? null)
    })
    return headers
  }

  return {
    pages,

    async capture(subjects, entries = []) {
      const fences = subjects.map((subject) => fenceKey(prefix, subject))
      const replies = await run((page) => {
        // A fence must exist before it is watched: making it would be a change of what is watched.
        for (const fence of fences) page.add('SET', fence, newToken(), 'NX')
        if (pages) {
          page.add('UNWATCH')
          page.add('WATCH', control, ...fences, ...entries)
        }
        page.add('HMGET', control, INCARNATION_FIELD, EPOCH_FIELD)
        for (const fence of fences) page.add('GET', fence)
        for (const entry of entries) page.add('GETRANGE', entry, 0, HEADER_PROBE_BYTES - 1)
      })
      const watched = fences.length + (pages ? 3 : 1)
      throwOnError(replies.slice(0, watched + fences.length))
      const [incarnation = null, epoch = null] = (replies[watched - 1] as readonly Reply[]).map(textOrNull)
      return {
        incarnation,
        epoch,
        fences: replies.slice(watched, watched + fences.length).map(textOrNull),
        headers: await wholeHeaders(entries, replies.slice(watched + fences.length)),
      } satisfies Capture
    },

    async stamps(wanted) {
      const replies = await run((page) => {
        for (const [name, ttlMs] of wanted)
          page.add('EVAL', CAPTURE_STAMP, 1, stampKey(prefix, name), newToken(), ttlMs === null ? '' : Math.ceil(ttlMs))
      })
      throwOnError(replies)
      return new Map([...wanted.keys()].map((name, index) => [name, String(replies[index])]))
    },

    async readStamps(names) {
      if (names.length === 0) return new Map()
      const replies = await run((page) => page.add('MGET', ...names.map((name) => stampKey(prefix, name))))
      throwOnError(replies)
      const stamps = replies[0] as readonly Reply[]
      return new Map(
        names.flatMap((name, index) => {
          const stamp = stamps[index] ?? null
          return stamp === null ? [] : [[name, String(stamp)] as const]
        }),
      )
    },

    async commit(writes) {
      const replies = await run((page) => {
        page.add('MULTI')
        for (const { key, value, ttlMs, replace, sizeBytes } of writes)
          page.addSet(key, value, ttlMs, !replace, sizeBytes)
        page.add('EXEC')
      })
      return readExec(replies)
    },

    async lease(keys, token) {
      const replies = await run((page) => {
        for (const key of keys) page.add('SET', leaseKey(prefix, key), token, 'NX', 'PX', LEASE_MS)
      })
      throwOnError(replies)
      return replies.map((reply) => reply !== null)
    },

    async fill(writes, token, subjects, { incarnation, epoch, fences }) {
      // Rows of the model itself are guarded one by one, by their leases: its fence moves with each of them.
      const joined = subjects.slice(1).map((subject) => fenceKey(prefix, subject))
      const guard = [incarnation ?? '', epoch ?? '', ...fences.slice(1).map((fence) => fence ?? '')]
      const replies = await run((page) => {
        for (const { key, value, ttlMs, observed } of writes) {
          const kind = observed === null ? 'absent' : observed.length === 0 ? 'other' : 'same'
          const keys = [key, leaseKey(prefix, key), control, ...joined]
          page.add('EVAL', FILL, keys.length, ...keys, token, value, ttlMs ?? '', kind, observed ?? '', ...guard)
        }
      })
      throwOnError(replies)
      return replies.map((reply) => (reply === 1 ? 'written' : reply === 2 ? 'present' : 'refused'))
    },

    async release(keys, token) {
      const replies = await run((page) => {
        for (const key of keys) page.add('EVAL', RELEASE, 1, leaseKey(prefix, key), token)
      })
      throwOnError(replies)
    },

    async headers(keys) {
      const replies = await run((page) => {
        for (const key of keys) page.add('GETRANGE', key, 0, HEADER_PROBE_BYTES - 1)
      })
      return wholeHeaders(keys, replies)
    },

    close: () => lane.close(),
  }
}

function readExec(replies: readonly Reply[]): BulkOutcome {
  const executed = replies[replies.length - 1] ?? null
  if (executed === null) return 'refused'
  // A command that was refused while it was queued (OOM, NOPERM) says why itself; EXEC only says that it gave up.
  throwOnError(replies)
  throwOnError(executed as readonly Reply[])
  return (executed as readonly Reply[]).map((reply) => (reply === null ? 'present' : 'written'))
}

function throwOnError(replies: readonly Reply[]): void {
  for (const reply of replies) if (isErrorReply(reply)) throw describeError(reply, 'the server')
}

const textOrNull = (reply: Reply): string | null => (reply === null ? null : String(reply))

/**
 * GETRANGE answers an empty string for an absent key; no entry is empty. A key of another type than string is there, and is no
 * entry: its header is empty.
 */
function headerOrNull(reply: Reply): Buffer | null {
  if (Buffer.isBuffer(reply)) return reply.length > 0 ? reply : null
  if (isErrorReply(reply) && reply.code !== 'WRONGTYPE') throw describeError(reply, 'the server')
  return Buffer.alloc(0)
}
