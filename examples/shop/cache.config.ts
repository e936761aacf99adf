// What the shop caches, from where and for how long. Its cache (cache.ts) and `cachectl` read the same file.
import { defineConfig, sql } from 'cachectl'

const url = process.env.DATABASE_URL

export default defineConfig({
  redis: process.env.REDIS_URL,
  prefix: 'shop',
  tenant: { label: 'org' },
  defaults: { ttl: '15m', grace: '5m', jitter: 0.1 },

  namespaces: {
    // changes rarely, and is read with everything else: kept in the memory of each process too
    reference: { ttl: '24h', l1: { maxEntries: 1_000 } },
    user_data: { ttl: '1h', grace: '0s' },
    stats: { ttl: '1m', grace: '10m' },
    api: { ttl: '10m', grace: '1d', timeout: { soft: '200ms', hard: '3s' } },
    fragment: { ttl: '10m' },
    // read by the tills in the stores too, which know nothing of this library: plain JSON under a key of theirs
    till: { format: 'raw', key: 'price:*', ttl: '10m' },
  },

  models: {
    category: {
      source: sql({ url, table: 'category', id: 'id', updatedAt: 'updated_at' }),
      namespace: 'reference',
      lists: { byName: { sort: ['name'], size: 300, namespace: 'reference' } },
      warm: { strategy: 'all' },
    },
    product: {
      source: sql({ url, table: 'product', id: 'id', updatedAt: 'updated_at', popularity: 'sales' }),
      exclude: ['cost'],
      // each product with its category, which ends the entry when it changes
      join: { category: { model: 'category', on: 'category_id' } },
      // what sells changes its stock often
      ttl: (product) => (product.sales > 1_000 ? '5m' : '2h'),
      lists: {
        bestsellers: { sort: ['-sales', 'id'], size: 20 },
        byCategory: { by: ['category_id'], sort: ['-sales', 'id'], size: 20, count: true },
      },
      warm: { strategy: 'popular', limit: 500 },
    },
    order: {
      source: sql({ url, table: 'orders', id: 'id', updatedAt: 'updated_at', tenant: 'org' }),
      lists: { newest: { sort: ['-id'], size: 20, count: true } },
    },
  },
})
