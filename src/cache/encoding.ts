// From a value to the bytes of its entry, with the times that it lives by.
import { createEntryEncoder, type TagStamp } from '../core/entry.ts'
import { shorten } from '../core/lifetime.ts'
import type { Clock, Random } from '../ports.ts'
import type { Policy } from './kernel.ts'

export interface Encoded {
  bytes: string | Buffer
  sizeBytes: number
  /** physical; null: none */
  ttlMs: number | null
  createdAtMs: number
  freshUntilMs: number | null
}

export interface EncodeOptions {
  incarnation: string
  writer: string
  tags: readonly TagStamp[]
  deltaMs: number
  sourceVersion: string | null
}

/** @throws CachectlError USAGE where the value would not come back equal */
export function encode(
  value: unknown,
  policy: Pick<Policy, 'ttlMs' | 'graceMs' | 'jitter' | 'compressAboveBytes'>,
  { clock, random }: { clock: Clock; random: Random },
  { incarnation, writer, tags, deltaMs, sourceVersion }: EncodeOptions,
): Encoded {
  const createdAtMs = clock.now()
  const ttlMs = policy.ttlMs === null ? null : shorten(policy.ttlMs, policy.jitter, random)
  const freshUntilMs = ttlMs === null ? null : createdAtMs + ttlMs
  const graceMs = ttlMs === null ? 0 : policy.graceMs
  const encoder = createEntryEncoder({
    incarnation,
    graceMs,
    writer,
    tags,
    compressAboveBytes: policy.compressAboveBytes,
  })
  const { bytes, sizeBytes } = encoder(value, { createdAtMs, freshUntilMs, deltaMs, sourceVersion })
  return { bytes, sizeBytes, ttlMs: ttlMs === null ? null : ttlMs + graceMs, createdAtMs, freshUntilMs }
}
