// The text of the config that `init` writes: one that passes `config check` as it is, and says what to change.

/** `prefix`: the first segment of its keys. */
export function initTemplate(prefix: string): string {
  return `// What this project caches in Redis: from where, for how long, within what budget.
// \`cachectl config check\` says whether it is right, \`cachectl config show\` how it is understood.
import { defineConfig, sql } from 'cachectl'

export default defineConfig({
  // Set REDIS_URL in the environment, or in a .env beside this file. Cron does not read your shell profile.
  redis: process.env.REDIS_URL,

  // Keys begin with prefix and version: ${prefix}:v1:detail:product:42
  prefix: '${prefix}',
  // Raise it when the shape of what is cached changes: old and new code then use different keys.
  version: 1,

  // With tenants, keys say whose they are (org_7), and nothing of one is ever shown to another.
  // tenant: { label: 'org' },

  // Jitter shortens each TTL by up to this share, so that entries do not all end at once.
  // Within grace, the old value may be served while a new one is made.
  defaults: { ttl: '15m', jitter: 0.1, grace: '5m', compress: { above: '4kb' } },

  namespaces: {
    detail: { ttl: '1h', budget: { maxKeys: 50_000, maxMemory: '64mb', policy: 'lru' } },
    list: { ttl: '5m' },
    count: { ttl: '1m' },
    // For what is no row: values, functions and pages that the application caches by itself.
    stats: { ttl: '1m' },
    user_data: { ttl: '1h' },
  },

  models: {
    product: {
      // A table or view of PostgreSQL. Also: fn({ … }) for your own functions, file('rows.ndjson') for a file.
      source: sql({ url: process.env.DATABASE_URL, table: 'product', id: 'id', updatedAt: 'updated_at' }),
      // What is cached of a row: all but these columns.
      exclude: ['internal_notes'],
      // What a bare \`cachectl warm\` takes: the 1,000 rows that changed last.
      warm: { strategy: 'recent', limit: 1000 },
      // Lists are warmed page by page, here the first two for each of the 50 most frequent categories, and their counts.
      lists: {
        byCategory: { by: ['category_id'], sort: ['-updated_at'], size: 20, pages: 2, top: 50, count: true },
      },
    },
  },

  // Of everything under the prefix, and what the server is meant to be set to.
  budget: { maxMemory: '512mb' },
  server: { maxmemory: '2gb', policy: 'volatile-lru' },

  // Keys of other software on the same server, which nothing here ever deletes.
  protect: ['bull:*', 'sess:*'],
})
`
}
