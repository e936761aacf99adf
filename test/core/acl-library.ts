// What an application does with the library, as a user with few rights: what came of it tells whether Redis was used as with all rights.
import { createCache } from '../../src/create-cache.ts'

/** Two processes with copies in memory: reads, loads, tags, models, lists, counts, invalidations. Text that is the same wherever all of it worked. */
export async function useLibrary(url: string, prefix: string): Promise<string> {
  const loads: string[] = []
  const rows = [1, 2].map((id) => ({ id, row: { id, name: `p${id}` }, version: String(id), tenant: null }))
  const source = {
    kind: 'test',
    reads: 'page' as const,
    strategies: ['all' as const],
    async *select() {
      yield rows
    },
    async load(ids: readonly unknown[]) {
      loads.push(`rows ${ids.join(' ')}`)
      return rows.filter(({ id }) => ids.map(String).includes(String(id)))
    },
    async list() {
      loads.push('list')
      return rows
    },
    async count() {
      loads.push('count')
      return rows.length
    },
    identify: ({ id }: { id?: unknown }) => ({ id: id as number, tenant: null }),
  }
  const errors: string[] = []
  const open = () =>
    createCache(
      {
        redis: url,
        prefix,
        heartbeat: '300ms',
        namespaces: {
          user_data: { ttl: '10m', grace: '1m', l1: { maxEntries: 100 } },
          detail: { ttl: '1h' },
          list: { ttl: '5m' },
          count: { ttl: '1m' },
        },
        models: { product: { source, namespace: 'detail', tenant: false } },
      },
      { deadline: '1s', onError: (error) => void errors.push(String(error)) },
    )
  const [first, second] = [open(), open()]
  const results: string[] = []
  try {
    const read = (cache: typeof first) =>
      cache.getOrSet(
        'user_data',
        ['a'],
        async () => {
          loads.push('a')
          return 1
        },
        { tags: ['t'] },
      )
    for (const cache of [first, second, first]) await read(cache)
    results.push((await first.invalidate({ tag: 't' })).status)
    await read(second)
    for (const cache of [first, second]) {
      await cache.model('product').get(1)
      await cache.model('product').list()
      await cache.model('product').count()
    }
    results.push((await first.model('product').invalidate(1)).status)
    await second.model('product').get(1)
    results.push((await second.invalidate({ model: 'product' })).status)
    await first.model('product').get(1)
  } finally {
    await Promise.all([first.close(), second.close()])
  }
  return JSON.stringify({ loads, results, errors: errors.length })
}
