// The demo's config: the cities of the world in PostgreSQL, cached on Redis. `npm run demo` runs it; copy what you need.
import { defineConfig, sql } from 'cachectl'
import { openDemoDatabase } from './demo/database.js'

export default defineConfig({
  // Where Redis is. Flags and CACHECTL_REDIS go before it.
  redis: process.env.REDIS_URL,
  // Every key of this project begins with it; `cachectl` never touches others.
  prefix: 'world',
  // Raise it when the shape of what you cache changes: v1 and v2 of your code then never read each other's entries.
  version: 1,

  defaults: { ttl: '15m', jitter: 0.1, grace: '5m', compress: { above: '4kb' } },

  namespaces: {
    detail: { ttl: '1h', budget: { maxKeys: 200_000, maxMemory: '128mb', policy: 'lru' } },
    list: { ttl: '5m' },
    count: { ttl: '1m' },
    reference: { ttl: '24h' },
  },

  models: {
    city: {
      // Your own pool goes here: `client: () => new Pool({ connectionString: process.env.DATABASE_URL })`.
      source: sql({
        client: openDemoDatabase,
        table: 'city',
        id: 'id',
        updatedAt: 'updated_at',
        popularity: 'population',
      }),
      namespace: 'detail',
      // What never reaches Redis.
      exclude: ['alt_name'],
      // Each city with its country: one query a page of cities, not one a city.
      join: { country: { model: 'country', on: 'country' } },
      related: ['country'],
      // Large cities are read, and change, more often.
      ttl: (city) => (Number(city.population) > 1_000_000 ? '10m' : '2h'),
      warm: { strategy: 'popular', limit: 20_000 },
      lists: {
        largest: { sort: ['-population'], size: 20, pages: 5 },
        byCountry: { by: ['country'], sort: ['-population'], size: 20, pages: 2, top: 50, count: true },
      },
    },
    country: {
      source: sql({
        client: openDemoDatabase,
        table: 'country',
        id: 'code',
        updatedAt: 'updated_at',
        popularity: 'population',
      }),
      namespace: 'reference',
      critical: true,
      warm: { strategy: 'all' },
      lists: { byName: { sort: ['name'], size: 300 } },
    },
  },

  // Of everything under the prefix, and what `stats` holds Redis to.
  budget: { maxMemory: '256mb' },
  // Never matched by anything destructive.
  protect: ['bull:*', 'sess:*'],
})
