// `keys`: streams the keys of a target, with TTL and size, in the order of the walk.
import { decodeHeader, HEADER_PROBE_BYTES } from '../core/entry.ts'
import { printable } from '../core/printable.ts'
import type { Target } from '../core/target.ts'
import type { Page, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { type ReadFrom, readFrom } from './read-from.ts'
import { scan } from './scan.ts'
import { wantedKeys } from './wanted-keys.ts'

export interface KeysOptions {
  /** none: every key of the database, control data included */
  targets: readonly Target[]
  /** keys of this tenant only; null: of all */
  tenant: string | null
  /** asks for TTL and size too; without it a key costs no command of its own */
  details: boolean
  /** reads headers for the age; makes keys look used where the server has no CLIENT NO-TOUCH */
  age: boolean
  /** stops after so many; null: all */
  limit: number | null
  /** reads from replicas where there are some in step */
  replica: boolean
  /** told which server the keys of each master come from, where replicas are asked for */
  onReadFrom?: (from: ReadFrom) => void
}

export interface KeyRow {
  /** escaped for showing; `get` and `why` take it as it is */
  key: string
  /** null: no TTL, or not asked for */
  ttlMs: number | null
  bytes: number | null
  /** null: no entry of cachectl, or not asked for */
  ageMs: number | null
}

/**
 * Pages of rows, none of them empty. A key that comes twice from SCAN comes twice. Ends early when the signal is aborted.
 * @throws CachectlError
 */
export async function* keys(context: OperationContext, options: KeysOptions): AsyncGenerator<KeyRow[]> {
  const { signal, store } = context
  const wanted = wantedKeys(options.targets, context.config, options.tenant)
  const details = options.details || options.age
  const perKey = (details ? 2 : 0) + (options.age ? 1 : 0)
  const probe = (page: Page, key: Buffer): void => {
    if (details) {
      page.add('PTTL', key)
      page.add('MEMORY', 'USAGE', key)
    }
    if (options.age) page.add('GETRANGE', key, 0, HEADER_PROBE_BYTES - 1)
  }
  let left = options.limit ?? Number.POSITIVE_INFINITY
  for await (const page of scan(store, {
    signal,
    probe,
    noTouch: options.age,
    replica: options.replica,
    opened: async (master, lane) => {
      if (options.replica) options.onReadFrom?.(await readFrom(context, master, lane))
    },
    ...(wanted === null ? {} : { wanted }),
  })) {
    const nowMs = context.clock.now()
    const rows: KeyRow[] = []
    for (let i = 0; i < page.keys.length && rows.length < left; i++) {
      const [pttl, bytes, head] = page.replies.slice(i * perKey, (i + 1) * perKey)
      if (pttl === -2) continue // expired since SCAN named it
      rows.push({
        key: printable(page.keys[i] as Buffer),
        ttlMs: typeof pttl === 'number' && pttl >= 0 ? pttl : null,
        bytes: typeof bytes === 'number' && bytes > 0 ? bytes : null,
        ageMs: ageOf(head, nowMs),
      })
    }
    left -= rows.length
    if (rows.length > 0) yield rows
    if (left <= 0) return
  }
}

function ageOf(head: Reply | undefined, nowMs: number): number | null {
  const decoded = Buffer.isBuffer(head) ? decodeHeader(head) : null
  return decoded?.ok ? Math.max(0, nowMs - decoded.header.createdAtMs) : null
}
