// What compiles of a whole cache: names of its config, code that is written for any cache, what calls give. Checked by `npm run types`; never run.
import { type Cache, createCache, defineConfig, fn } from '../../src/index.ts'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const holds = <T extends true>(_?: T): void => {}

const config = defineConfig({
  redis: 'redis://127.0.0.1:6379',
  prefix: 'shop',
  tenant: { label: 'org' },
  namespaces: { stats: { ttl: '1m' }, user_data: { ttl: '1h' } },
  models: { city: { source: fn({ rows: () => [] }), tenant: false } },
})
const cache = createCache(config)
type ShopCache = typeof cache
interface City {
  name: string
}

export async function names() {
  holds<Equal<ShopCache, Cache<'city', 'stats' | 'user_data'>>>()
  await cache.get('stats', ['a'])
  // what every config has
  await cache.get('detail', ['a'])
  cache.model('city')
  // @ts-expect-error: no such namespace
  await cache.get('stat', ['a'])
  // @ts-expect-error: no such namespace
  await cache.getOrSet('stat', ['a'], () => 1)
  // @ts-expect-error: no such model
  cache.model('town')
  // @ts-expect-error: no such model
  await cache.invalidate({ model: 'town' })
  // @ts-expect-error: no such namespace
  await cache.invalidate({ namespace: 'stat' })
  // @ts-expect-error: no such namespace, in a tenant's handle
  await cache.tenant(7).get('stat', ['a'])
  // @ts-expect-error: no such namespace, of a fragment
  await cache.fragment('header', [], () => '', { namespace: 'stat' })
  // @ts-expect-error: no such namespace, of a response
  cache.http.express({ namespace: 'stat' })
  await cache.transaction(
    async (work: (tx: { sql: string }) => Promise<unknown>) => work({ sql: '' }),
    async (c, tx) => {
      holds<Equal<typeof c, ShopCache>>()
      holds<Equal<typeof tx, { sql: string }>>()
    },
  )
}

export async function results() {
  holds<Equal<Awaited<ReturnType<typeof number>>, number>>()
  const number = () => cache.getOrSet('stats', ['a'], async () => 1)
  const city = await cache.get<City>('stats', ['a'])
  holds<Equal<typeof city, City | undefined>>()
  const hit = await cache.getOrSet('stats', ['a'], () => ({ name: 'Zug' }), { as: 'hit' })
  holds<Equal<typeof hit.value, City>>()
  // @ts-expect-error: there is no such option
  await cache.getOrSet('stats', ['a'], () => 1, { tll: '1m' })
  // @ts-expect-error: a duration has a unit
  await cache.getOrSet('stats', ['a'], () => 1, { ttl: 60 })
}

/** Code that is written for any cache is given a typed one. */
const anyCache = (_: Cache): void => {}
const someOf = (_: Cache<'city', 'stats'>): void => {}
class Repository {
  readonly cache: Cache
  constructor(given: Cache) {
    this.cache = given
  }
}
declare const plain: Cache
declare const other: Cache<'order', 'sessions'>

export async function anyOfThem() {
  anyCache(cache)
  anyCache(cache.tenant(7))
  anyCache(plain)
  new Repository(cache)
  const caches: Cache[] = [cache, other]
  await caches[0]?.get('whatever the config declares', ['a'])
  await cache.transaction(
    async (work) => work(1),
    async (c) => anyCache(c),
  )
  // One that has more names has these.
  someOf(cache)
  // @ts-expect-error: it has other names
  someOf(other)
  // @ts-expect-error: a namespace is text, of any cache
  await plain.get(5, ['a'])
  // @ts-expect-error: no cache at all
  anyCache({ get: async () => undefined })
}
