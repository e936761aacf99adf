// A shop in memory behind real function sources, and its models over kernels on a real Redis: what tests of models share.
import { fn } from '../../src/adapters/sources/fn.ts'
import type { Kernel } from '../../src/cache/kernel.ts'
import { createModels, type Models } from '../../src/cache/models.ts'
import type { ResolvedConfig, ResolvedList, ResolvedModel } from '../../src/config/resolved.ts'
import { type KernelSettings, openKernel } from '../../src/open-kernel.ts'
import type { ListQuery, Row } from '../../src/ports.ts'
import { aConfig, aModel, aNamespace } from '../resolved.ts'

/** In every column that must not reach Redis. */
export const CANARY = 'canary-7f3a'

export interface Table {
  rows: Map<string, Row>
  /** of the source, by method */
  calls: { load: number; list: number; count: number }
  /** awaited after the rows were read and before they are given */
  slow: (() => Promise<unknown>) | null
}

export function table(rows: readonly Row[], key = 'id'): Table {
  const calls = { load: 0, list: 0, count: 0 }
  return { rows: new Map(rows.map((row) => [String(row[key]), { ...row }])), calls, slow: null }
}

export function sourceOf(table: Table, options: { tenant?: string; id?: string } = {}) {
  const matching = ({ filters, tenant }: { filters: ListQuery['filters']; tenant?: string }) =>
    [...table.rows.values()].filter(
      (row) =>
        (tenant === undefined || row[options.tenant ?? ''] === tenant) &&
        Object.entries(filters).every(([column, value]) => String(row[column]) === String(value)),
    )
  const given = async <T>(value: T): Promise<T> => {
    await table.slow?.()
    return value
  }
  return fn<Row>({
    ...options,
    updatedAt: 'updated_at',
    rows: () => [...table.rows.values()].map((row) => ({ ...row })),
    load(ids) {
      table.calls.load++
      return given(ids.map((id) => table.rows.get(String(id))).map((row) => row && { ...row }))
    },
    list(query) {
      table.calls.list++
      const [sort = 'id'] = query.sort
      const rows = matching(query).sort((a, b) => (a[sort] as number) - (b[sort] as number))
      return given(rows.slice(0, query.limit))
    },
    count(query) {
      table.calls.count++
      return given(matching(query).length)
    },
  })
}

export const aList = (name: string, given: Partial<ResolvedList> = {}): ResolvedList => ({
  name,
  by: [],
  where: {},
  sort: ['id'],
  pageSize: 2,
  pages: 2,
  top: 50,
  values: null,
  namespace: 'list',
  countNamespace: 'count',
  ...given,
})

/** A category and its products, of no tenant. */
export function createShop() {
  const shop = {
    world: table([{ id: 1, name: 'earth', secret: CANARY, updated_at: '1' }]),
    category: table([
      { id: 1, world: 1, name: 'tea', secret: CANARY, updated_at: '1' },
      { id: 2, world: 1, name: 'pots', secret: CANARY, updated_at: '1' },
    ]),
    product: table(
      [1, 2, 3, 4, 5].map((id) => ({
        id,
        name: `product ${id}`,
        category_id: id % 2 === 0 ? 2 : 1,
        price: id * 100,
        note: `${CANARY} ${id}`,
        stock: 9,
        updated_at: `${id}`,
      })),
    ),
  }
  const models: ResolvedModel[] = [
    aModel('world', sourceOf(shop.world), { exclude: ['secret'] }),
    aModel('category', sourceOf(shop.category), { exclude: ['secret'], related: ['world'] }),
    aModel('product', sourceOf(shop.product), {
      fields: ['id', 'name', 'price', 'category_id'],
      join: [{ field: 'category', model: 'category', on: 'category_id' }],
      lists: [aList('all_by_id'), aList('byCategory', { by: ['category_id'] }), aList('byStock', { sort: ['stock'] })],
    }),
  ]
  return { ...shop, models }
}

const opened: Kernel[] = []

export async function closeKernels(): Promise<void> {
  for (const kernel of opened.splice(0)) await kernel.close()
}

export interface Opened {
  kernel: Kernel
  errors: unknown[]
  model: Models['model']
  /** the same models in a tenant's handle */
  in(tenant: string): Models['model']
  /** the same over another kernel */
  over(kernel: Kernel): Models['model']
}

export function open(
  url: string,
  models: readonly ResolvedModel[],
  config: Partial<ResolvedConfig> = {},
  settings: KernelSettings = {},
): Opened {
  const errors: unknown[] = []
  const names = ['detail', 'list', 'count']
  const namespaces = Object.fromEntries(names.map((name) => [name, aNamespace(name, { beta: 0 })]))
  const resolved = aConfig(url, models, { namespaces, ...config })
  const kernel = openKernel(resolved, { deadlineMs: 2_000, onError: (error) => void errors.push(error), ...settings })
  opened.push(kernel)
  const of = (on: Kernel, tenant: string | null) => createModels({ kernel: on, tenant: () => tenant }).model
  return {
    kernel,
    errors,
    model: of(kernel, null),
    in: (tenant) => of(kernel, tenant),
    over: (other) => of(other, null),
  }
}
