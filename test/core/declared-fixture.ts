// A config as the pure parts see it.
import type { DeclaredCache, DeclaredModel, DeclaredNamespace } from '../../src/core/declared.ts'

const namespace = (ttlMs: number | null, more: Partial<DeclaredNamespace> = {}): DeclaredNamespace => ({
  ttlMs,
  graceMs: 0,
  format: 'envelope',
  keyPattern: null,
  ...more,
})
const model = (name: string, more: Partial<DeclaredModel> = {}): DeclaredModel => ({
  name,
  subject: name,
  namespace: 'detail',
  version: '1',
  tenant: false,
  ttl: undefined,
  graceMs: 0,
  related: [],
  join: [],
  lists: [{ namespace: 'list', countNamespace: 'count' }],
  ...more,
})

export const shop: DeclaredCache = {
  prefix: 'shop',
  tenantLabel: 'org',
  namespaces: {
    detail: namespace(3_600_000, { graceMs: 300_000 }),
    list: namespace(300_000),
    count: namespace(60_000),
    forever: namespace(null),
    legacy: namespace(60_000, { format: 'raw', keyPattern: '{subject}:v{version}:{rest}' }),
    sessions: namespace(null, { format: 'raw', keyPattern: 'sess:*' }),
  },
  models: {
    product: model('product', { version: '1.2', ttl: () => 1, related: ['category'] }),
    category: model('category', { ttl: 7_200_000, graceMs: 60_000 }),
    review: model('review', { join: [{ model: 'product' }] }),
    page: model('page', { subject: 'page_text', namespace: 'forever' }),
  },
}
