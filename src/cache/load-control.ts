// What a loader says of its value while it runs, and the bounds of its time.
import { AsyncLocalStorage } from 'node:async_hooks'
import { CachectlError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { formatDuration } from '../core/units.ts'
import type { LoadControl, Policy } from './kernel.ts'

/** What came of one load, for one entry. */
export interface Told {
  ttlMs: number | null | undefined
  graceMs: number | undefined
  stamps: string[]
  skipped: boolean
  sourceVersion: string | null
}

export function createLoadControl(
  signal: AbortSignal,
  stale: LoadControl['stale'],
): { control: LoadControl; told: Told } {
  const told: Told = { ttlMs: undefined, graceMs: undefined, stamps: [], skipped: false, sourceVersion: null }
  const control: LoadControl = {
    signal,
    stale,
    ttlMs: (ttlMs) => {
      told.ttlMs = ttlMs
    },
    graceMs: (graceMs) => {
      told.graceMs = graceMs
    },
    stamps: (names) => {
      for (const name of names) if (!told.stamps.includes(name)) told.stamps.push(name)
    },
    skip: () => {
      told.skipped = true
    },
    sourceVersion: (version) => {
      told.sourceVersion = version
    },
  }
  return { control, told }
}

/** The policy with what the loader said; null: the value is not cached. */
export function policyFor(policy: Policy, told: Told, value: unknown): Policy | null {
  if (told.skipped) return null
  const negative = value === null || value === undefined
  if (negative && policy.negativeTtlMs === null) return null
  const ttlMs = negative ? policy.negativeTtlMs : told.ttlMs === undefined ? policy.ttlMs : told.ttlMs
  return { ...policy, ttlMs, graceMs: told.graceMs ?? policy.graceMs }
}

/** Runs the loader with its hard timeout: rejects then, and aborts its signal. */
export async function runLoader<T>(
  load: (signal: AbortSignal) => T | Promise<T>,
  hardTimeoutMs: number | null,
  closing: AbortSignal,
): Promise<T> {
  const aborting = new AbortController()
  const onClosing = () => aborting.abort(closing.reason)
  closing.addEventListener('abort', onClosing, { once: true })
  let timer: NodeJS.Timeout | undefined
  try {
    const loaded = Promise.resolve().then(() => load(aborting.signal))
    if (hardTimeoutMs === null) return await loaded
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new CachectlError(
          'LOADER_TIMEOUT',
          `the loader did not answer within ${formatDuration(hardTimeoutMs)}`,
        )
        aborting.abort(error)
        reject(error)
      }, hardTimeoutMs)
    })
    loaded.catch(() => {})
    return await Promise.race([loaded, late])
  } finally {
    clearTimeout(timer)
    closing.removeEventListener('abort', onClosing)
  }
}

/** The loads that the calling code runs within: one that waited for one of them would wait for itself. */
const around = new AsyncLocalStorage<ReadonlySet<object>>()

/** Runs the loader of these. */
export function withinLoads<T>(loads: readonly object[], loader: () => T): T {
  return around.run(new Set([...(around.getStore() ?? []), ...loads]), loader)
}

/** @throws CachectlError USAGE where the caller runs within this load */
export function refuseOwnLoad(load: object, what: string): void {
  if (around.getStore()?.has(load))
    throw new CachectlError('USAGE', `the loader of ${printable(what)} asks for the very entry that it loads`, {
      hint: 'load from the source in it, or give what it asks for another key',
    })
}

export interface Gate {
  /** Runs the load of a source when a place is free. */
  through<T>(work: () => Promise<T>): Promise<T>
  /** Where the caller runs in such a load, its place is another's while it waits: of loads within loads each would wait for a place that the other has. */
  aside<T>(wait: () => Promise<T>): Promise<T>
}

/** Lets so many through at once; the others wait for their turn. */
export function createGate(places: number): Gate {
  const holders = new AsyncLocalStorage<{ waits: number }>()
  const waiting: (() => void)[] = []
  let free = places
  const give = () => {
    free++
    if (free <= 0 || waiting.length === 0) return
    free--
    waiting.shift()?.()
  }
  return {
    async through(work) {
      if (free > 0) free--
      else await new Promise<void>((resolve) => waiting.push(resolve))
      try {
        return await holders.run({ waits: 0 }, work)
      } finally {
        give()
      }
    },
    async aside(wait) {
      const holder = holders.getStore()
      if (holder === undefined) return wait()
      if (holder.waits++ === 0) give()
      try {
        return await wait()
      } finally {
        // Taken back at once: who goes on is not to wait twice, and a place too many is used for a moment.
        if (--holder.waits === 0) free--
      }
    },
  }
}
