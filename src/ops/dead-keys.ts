// Which keys of a walk are out of reach for good: their generation is not the current one, or a stamp that they hold is gone.
import type { Mirror } from '../cache/control-mirror.ts'
import { decodeHeader, HEADER_PROBE_BYTES } from '../core/entry.ts'
import { createKeys, revisionKey, stampKey } from '../core/key.ts'
import type { Page, Reply, Store } from '../ports.ts'
import type { Changer } from './apply-change.ts'
import type { SweepOptions } from './sweep.ts'

/**
 * For `SweepOptions.examine`. What is current is read after SCAN has named the keys and before they are judged: tokens and stamps never come back, so what
 * is not current then never is again, however much is bumped and filled meanwhile. `stamps`: names whose holders are meant; of keys of other forms
 * than cachectl's, and with `named`, every one is.
 */
export function examineDead(
  changer: Changer,
  scheme: { prefix: string; tenantLabel: string | null },
  stamps: readonly string[],
): NonNullable<SweepOptions['examine']> {
  const keys = createKeys(scheme)
  let mirror: Mirror | null = null
  const names = [...new Set(stamps)]
  return {
    ...(names.length > 0
      ? { probe: (page: Page, key: Buffer) => page.add('GETRANGE', key, 0, HEADER_PROBE_BYTES - 1) }
      : {}),
    async keep(found, replies) {
      if (found.length === 0) return []
      // Before the stamps: an entry that was filled since holds stamps that are newer than these.
      const heads =
        names.length === 0 ? replies : await wholeHeaders(found, replies, (asked) => readAll(changer, asked))
      const [revision = null, ...values] = await changer.run((page) => {
        page.add('GET', revisionKey(scheme.prefix))
        for (const name of names) page.add('GET', stampKey(scheme.prefix, name))
      })
      if (mirror === null || String(revision) !== mirror.revision) mirror = await changer.mirror()
      const current = mirror
      const now = new Map(names.map((name, index) => [name, textOf(values[index])]))
      return found.map((key, index) => {
        const parsed = keys.parse(key)
        if (parsed === null) return names.length === 0
        if (!key.toString('utf8').startsWith(current.keys.head(parsed))) return true
        return names.length > 0 && holdsGone(heads[index], now)
      })
    },
  }
}

/**
 * For a look before an invalidation: keys that hold one of these tags, which only their headers tell, or are meant by name.
 */
export function examineTagged(
  store: Pick<Store, 'call'>,
  tags: ReadonlySet<string>,
  isNamed: (key: Buffer) => boolean,
): NonNullable<SweepOptions['examine']> {
  const readEach = (asked: readonly LongHeader[]) =>
    Promise.all(asked.map(({ key, bytes }) => store.call('GETRANGE', key, 0, bytes - 1)))
  return {
    probe: (page: Page, key: Buffer) => page.add('GETRANGE', key, 0, HEADER_PROBE_BYTES - 1),
    async keep(found, replies) {
      const heads = await wholeHeaders(found, replies, readEach)
      return found.map((key, index) => isNamed(key) || holdsAny(heads[index], tags))
    },
  }
}

function holdsAny(reply: Reply | undefined, tags: ReadonlySet<string>): boolean {
  const decoded = Buffer.isBuffer(reply) ? decodeHeader(reply) : null
  return decoded?.ok === true && decoded.header.tags.some(({ tag }) => tags.has(tag))
}

interface LongHeader {
  key: Buffer
  /** of the whole header */
  bytes: number
}

/** What was read of each key; of those whose tags go on behind it, all of the header. */
async function wholeHeaders(
  keys: readonly Buffer[],
  replies: readonly Reply[],
  read: (asked: readonly LongHeader[]) => Promise<readonly Reply[]>,
): Promise<readonly Reply[]> {
  const longer = replies.flatMap((reply, index) => {
    const decoded = Buffer.isBuffer(reply) ? decodeHeader(reply) : null
    if (decoded === null || decoded.ok || decoded.needBytes === undefined) return []
    return decoded.needBytes > HEADER_PROBE_BYTES
      ? [{ index, key: keys[index] as Buffer, bytes: decoded.needBytes }]
      : []
  })
  if (longer.length === 0) return replies
  const heads = await read(longer)
  const whole = [...replies]
  for (const [at, { index }] of longer.entries()) whole[index] = heads[at] ?? null
  return whole
}

function readAll({ run }: Pick<Changer, 'run'>, asked: readonly LongHeader[]): Promise<readonly Reply[]> {
  return run((page) => {
    for (const { key, bytes } of asked) page.add('GETRANGE', key, 0, bytes - 1)
  })
}

function holdsGone(reply: Reply | undefined, now: ReadonlyMap<string, string | null>): boolean {
  const decoded = Buffer.isBuffer(reply) ? decodeHeader(reply) : null
  if (decoded === null || !decoded.ok) return false
  return decoded.header.tags.some(({ tag, stamp }) => now.has(tag) && now.get(tag) !== stamp)
}

const textOf = (reply: Reply | undefined): string | null =>
  reply === null || reply === undefined ? null : String(reply)
