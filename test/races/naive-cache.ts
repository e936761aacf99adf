// Caches as they are often written: what the checker of the trials must not let through.
import type { Redis } from 'ioredis'
import { placeId } from '../../src/cache/control-mirror.ts'
import type { Found, LoadControl, Place } from '../../src/cache/kernel.ts'
import { FILL_LEASED } from '../../src/core/lease-script.ts'
import type { Tried } from './trial.ts'

export const NAIVE_NAMES = ['any flight', 'time of tag', 'members of tag', 'no tenant'] as const
export type NaiveName = (typeof NAIVE_NAMES)[number]

/**
 * `any flight`: leases guard what is written, and who comes while a load is under way is given what it loads. `time of tag`: an entry is good if it is
 * younger than the last invalidation of its tag. `members of tag`: a set of its keys, which are deleted. `no tenant`: its keys are without.
 */
export function createNaiveCache(redis: Redis, prefix: string, name: NaiveName): Tried {
  const underWay = new Map<string, Promise<unknown>>()
  const keyOf = (place: Place) => `${prefix}:${placeId(name === 'no tenant' ? { ...place, tenant: null } : place)}`
  const found = (value: unknown): Found => ({
    hit: 'fresh',
    value,
    tier: 'l2',
    key: '',
    createdAtMs: null,
    freshUntilMs: null,
    sourceVersion: null,
  })
  const isGood = async (text: string | null, tag: string | undefined): Promise<boolean> => {
    if (text === null) return false
    if (name !== 'time of tag' || tag === undefined) return true
    const invalidated = Number((await redis.get(`${prefix}~tag:${tag}`)) ?? 0)
    return JSON.parse(text).at > invalidated
  }
  const loadOnce = async (key: string, tag: string | undefined, load: () => unknown): Promise<unknown> => {
    const token = `${process.pid}:${Math.random()}`
    if (name === 'any flight') await redis.set(`${key}~lease`, token, 'PX', 5_000, 'NX')
    const value = await load()
    const text = JSON.stringify({ at: Date.now(), value })
    if (name === 'any flight') await redis.eval(FILL_LEASED, 2, key, `${key}~lease`, token, text, 60_000, 'none')
    else await redis.set(key, text, 'PX', 60_000)
    if (name === 'members of tag' && tag !== undefined) await redis.sadd(`${prefix}~tag:${tag}`, key)
    return value
  }
  return {
    async load(place, policy, load) {
      const key = keyOf(place)
      const [tag] = policy.stamps
      const text = await redis.get(key)
      if (await isGood(text, tag)) return found(JSON.parse(text as string).value)
      const control = { stamps: () => {} } as unknown as LoadControl
      const flight = underWay.get(key) ?? loadOnce(key, tag, () => load(control)).finally(() => underWay.delete(key))
      underWay.set(key, flight)
      return found(await flight)
    },
    async invalidate({ entries = [], stamps = [] }) {
      for (const place of entries) await redis.del(`${keyOf(place)}~lease`, keyOf(place))
      for (const tag of stamps) {
        if (name === 'time of tag') await redis.set(`${prefix}~tag:${tag}`, Date.now())
        const keys = await redis.smembers(name === 'members of tag' ? `${prefix}~tag:${tag}` : `${prefix}~none`)
        if (keys.length > 0) await redis.del(...keys)
      }
      return { status: 'applied', acknowledged: { processes: 0, of: 0, lapsed: false }, deleted: null }
    },
  }
}
