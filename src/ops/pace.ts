// How fast a walk that writes may go: by a rate, or by what it costs the server and its replicas.
import { setTimeout as delay } from 'node:timers/promises'
import type { Reply, Store } from '../ports.ts'

/** `auto`: the server is idle for most of the time, and its replicas keep up; `max`: as fast as it goes; or keys a second. */
export type Pace = 'auto' | 'max' | { keysPerSecond: number }

/** Share of the server's time that `auto` takes. */
const BUSY_SHARE = 0.25
/** Replicas that are further behind than this are waited for: a lost backlog (1 MB by default) costs a full copy, a full output buffer the link. */
const MOST_LAG_BYTES = 512 * 1024
const LOOK_AT_REPLICAS_MS = 500
/** Replicas that do not catch up hold the work up for no longer than this at a time. */
const WAIT_FOR_REPLICAS_MS = 10_000
const NAP_MS = 50

export interface Pacer {
  /** Waits as long as what was just done asks for. `busyMs`: server time that it took; null where that is not known. */
  after(keys: number, busyMs: number | null): Promise<void>
}

export function createPacer(pace: Pace, store: Store, signal: AbortSignal): Pacer {
  const startedMs = performance.now()
  let done = 0
  let looked = performance.now()
  return {
    async after(keys, busyMs) {
      done += keys
      if (pace === 'max' || keys === 0) return
      if (typeof pace === 'object') {
        return nap(startedMs + (done / pace.keysPerSecond) * 1000 - performance.now(), signal)
      }
      // Where the server does not tell its time, a key is taken to cost two microseconds.
      await nap((busyMs ?? keys * 0.002) * (1 / BUSY_SHARE - 1), signal)
      if (performance.now() - looked < LOOK_AT_REPLICAS_MS) return
      await waitForReplicas(store, signal)
      looked = performance.now()
    },
  }
}

async function nap(ms: number, signal: AbortSignal): Promise<void> {
  if (ms >= 1) await delay(ms, undefined, { signal }).catch(() => {})
}

async function waitForReplicas(store: Store, signal: AbortSignal): Promise<void> {
  const until = performance.now() + WAIT_FOR_REPLICAS_MS
  while (!signal.aborted && performance.now() < until) {
    const answers = await store.callEach('INFO', 'replication')
    if (answers.every(({ reply }) => lagBytes(reply) <= MOST_LAG_BYTES)) return
    await nap(NAP_MS, signal)
  }
}

/** How far the online replica that is furthest behind is, in bytes of replication stream; 0 where there is none, or nothing is said. */
export function lagBytes(info: Reply): number {
  const text = Buffer.isBuffer(info) ? info.toString() : typeof info === 'string' ? info : ''
  const written = Number(/^master_repl_offset:(\d+)/m.exec(text)?.[1] ?? 0)
  const offsets = [...text.matchAll(/^slave\d+:.*state=online,offset=(\d+)/gm)].map((match) => Number(match[1]))
  return Math.max(0, ...offsets.map((offset) => written - offset))
}
