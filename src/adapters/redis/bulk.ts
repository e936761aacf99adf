// Guarded bulk writes on one dedicated connection: what was captured before a load must still be there, or nothing is written.
// WATCH holds the guard over the load. Where there is none (several servers, or one that refuses it), and for single rows, leases and a second look do.
import { randomBytes } from 'node:crypto'
import { decodeHeader, HEADER_PROBE_BYTES } from '../../core/entry.ts'
import { EPOCH_FIELD, fenceKey, generationsKey, INCARNATION_FIELD, stampKey } from '../../core/key.ts'
import { isErrorReply } from '../../core/reply.ts'
import { CAPTURE_STAMP } from '../../core/stamp-script.ts'
import type { BulkLane, BulkOutcome, BulkWrite, Capture, Lane, Reply } from '../../ports.ts'
import { describeError } from './errors.ts'
import { addFill, addLease, addRelease, fillOutcome, type RowOutcome, type RowWrite } from './fill-rows.ts'

/** 96 random bits: unique for ever, so that no token ever means "the same as before" again. */
export function newToken(): string {
  return randomBytes(12).toString('base64url')
}

/** Of rows that are loaded under their leases: what a killed run leaves lapses with its lock. */
const LEASE_MS = 30_000
/** Of a page that is loaded, and only written under leases. */
const WRITE_LEASE_MS = 5_000

type Guard = Pick<Capture, 'incarnation' | 'epoch' | 'fences'>

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
  const watches = !asked.some(isErrorReply)
  /** what a page is written under */
  let captured: { subjects: readonly string[]; headers: ReadonlyMap<string, Buffer | null>; guard: Guard } | null = null

  const lease = async (keys: readonly string[], token: string, ttlMs: number): Promise<boolean[]> => {
    const replies = await run((page) => {
      for (const key of keys) addLease(page, prefix, key, token, ttlMs)
    })
    throwOnError(replies)
    return replies.map((reply) => reply !== null)
  }
  const release = async (keys: readonly string[], token: string): Promise<void> => {
    const replies = await run((page) => {
      for (const key of keys) addRelease(page, prefix, key, token)
    })
    throwOnError(replies)
  }
  const look = async (subjects: readonly string[]): Promise<Guard> => {
    const replies = await run((page) => {
      page.add('HMGET', control, INCARNATION_FIELD, EPOCH_FIELD)
      for (const subject of subjects) page.add('GET', fenceKey(prefix, subject))
    })
    return readGuard(replies)
  }
  /**
   * Their leases are ours. Whoever invalidates one of them from now on takes its lease before the entry; who has begun before has changed a fence or the
   * epoch first, which is seen here. So nothing that was loaded before an invalidation outlives it (docs/contract.md, "Bulk writes").
   */
  const fillLeased = async (rows: readonly RowWrite[], token: string, subjects: readonly string[], guard: Guard) => {
    if (rows.length === 0) return []
    const now = await look(subjects)
    if (!sameGuard(guard, now)) {
      await release(
        rows.map(({ key }) => key),
        token,
      )
      return rows.map((): RowOutcome => 'refused')
    }
    const replies = await run((page) => {
      for (const row of rows) addFill(page, prefix, row, token)
    })
    throwOnError(replies)
    return replies.map(fillOutcome)
  }
  const commitByLeases = async (writes: readonly BulkWrite[]): Promise<BulkOutcome> => {
    if (captured === null) return writes.map(() => 'refused')
    const { subjects, headers, guard } = captured
    const token = newToken()
    const leased = await lease(
      writes.map(({ key }) => key),
      token,
      WRITE_LEASE_MS,
    )
    const rows = writes.filter((_, index) => leased[index])
    const observed = rows.map((row) => ({ ...row, observed: row.replace ? (headers.get(row.key) ?? null) : null }))
    const filled = await fillLeased(observed, token, subjects, guard).catch(async (error) => {
      await release(
        rows.map(({ key }) => key),
        token,
      ).catch(() => {})
      throw error
    })
    const outcomes = filled[Symbol.iterator]()
    return leased.map((ours) => (ours ? (outcomes.next().value as RowOutcome) : 'leased'))
  }

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
    async capture(subjects, entries = []) {
      const fences = subjects.map((subject) => fenceKey(prefix, subject))
      const replies = await run((page) => {
        // A fence must exist before it is watched: making it would be a change of what is watched.
        for (const fence of fences) page.add('SET', fence, newToken(), 'NX')
        if (watches) {
          page.add('UNWATCH')
          page.add('WATCH', control, ...fences, ...entries)
        }
        page.add('HMGET', control, INCARNATION_FIELD, EPOCH_FIELD)
        for (const fence of fences) page.add('GET', fence)
        for (const entry of entries) page.add('GETRANGE', entry, 0, HEADER_PROBE_BYTES - 1)
      })
      const before = fences.length + (watches ? 2 : 0)
      const after = before + 1 + fences.length
      throwOnError(replies.slice(0, before))
      const guard = readGuard(replies.slice(before, after))
      const headers = await wholeHeaders(entries, replies.slice(after))
      captured = { subjects, guard, headers: new Map(entries.map((entry, index) => [entry, headers[index] ?? null])) }
      return { ...guard, headers } satisfies Capture
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
      if (!watches) return commitByLeases(writes)
      const replies = await run((page) => {
        page.add('MULTI')
        for (const { key, value, ttlMs, replace, sizeBytes } of writes)
          page.addSet(key, value, ttlMs, !replace, sizeBytes)
        page.add('EXEC')
      })
      return readExec(replies, writes.length)
    },

    lease: (keys, token) => lease(keys, token, LEASE_MS),

    // Rows of the model itself are guarded one by one, by their leases: its fence moves with each of them.
    fill: (rows, token, subjects, { incarnation, epoch, fences }) =>
      fillLeased(rows, token, subjects.slice(1), { incarnation, epoch, fences: fences.slice(1) }),

    release,

    async headers(keys) {
      const replies = await run((page) => {
        for (const key of keys) page.add('GETRANGE', key, 0, HEADER_PROBE_BYTES - 1)
      })
      return wholeHeaders(keys, replies)
    },

    close: () => lane.close(),
  }
}

function readGuard(replies: readonly Reply[]): Guard {
  throwOnError(replies)
  const [hash = null, ...fences] = replies
  const [incarnation = null, epoch = null] = (hash as readonly Reply[]).map(textOrNull)
  return { incarnation, epoch, fences: fences.map(textOrNull) }
}

function sameGuard(before: Guard, now: Guard): boolean {
  return (
    before.incarnation === now.incarnation &&
    before.epoch === now.epoch &&
    before.fences.every((fence, index) => fence !== null && fence === now.fences[index])
  )
}

function readExec(replies: readonly Reply[], writes: number): BulkOutcome {
  const executed = replies[replies.length - 1] ?? null
  if (executed === null) return Array.from({ length: writes }, () => 'refused')
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
