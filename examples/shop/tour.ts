// What a cache must not get wrong, tried on the running shop. Each step throws where it does not hold.
import type { AskOptions, Shop } from './shop-process.ts'

const STEPS: readonly [promise: string, hold: (shop: Shop) => Promise<boolean>][] = [
  [
    'a price changed through Prisma is in the row, the list, the cached answer and the till at once',
    async (shop) => {
      const places = ['/products/1', '/products?category=CN', '/bestsellers', '/till/1']
      for (const path of places) await read(shop, path)
      await shop.ask('PATCH', '/products/1', { body: { price: 4_711 } })
      const texts = await Promise.all(places.map((path) => read(shop, path)))
      return texts.every((text) => text.includes('4711'))
    },
  ],
  [
    'a renamed category shows in every product of it',
    async (shop) => {
      await read(shop, '/products/1')
      const { category } = JSON.parse(await read(shop, '/products/1'))
      await shop.ask('PATCH', `/categories/${category.id}`, { body: { name: 'Renamed' } })
      return (
        (await read(shop, '/products/1')).includes('Renamed') &&
        (await read(shop, '/category-names')).includes('Renamed')
      )
    },
  ],
  [
    'an order rolled back changes nothing; one that commits is in the list, the dashboard and the stock',
    async (shop) => {
      const before = await ofOrg(shop, 'north')
      await shop.ask('POST', '/org/orders', { ...org('north'), body: { product_id: 2, quantity: 1_000_000 } })
      const rolledBack = await ofOrg(shop, 'north')
      await shop.ask('POST', '/org/orders', { ...org('north'), body: { product_id: 2, quantity: 3 } })
      const after = await ofOrg(shop, 'north')
      return (
        rolledBack.stock === before.stock &&
        rolledBack.dashboard === before.dashboard &&
        after.stock === before.stock - 3 &&
        after.dashboard === before.dashboard + 1 &&
        after.list === before.list + 1
      )
    },
  ],
  [
    'one organisation never sees the orders of another',
    async (shop) => {
      const answers = await Promise.all(
        Array.from({ length: 40 }, async (_, n) => {
          const name = n % 2 ? 'north' : 'south'
          const { rows } = JSON.parse(await read(shop, '/org/orders', org(name)))
          return rows.length > 0 && rows.every((row: { org: string }) => row.org === name)
        }),
      )
      return answers.every(Boolean)
    },
  ],
  [
    'rights that are taken away are gone with the next request, and logging out ends what is cached of a customer',
    async (shop) => {
      const grace = { headers: { 'x-customer': '8' } }
      const had = await read(shop, '/account', grace)
      await shop.ask('PUT', '/permissions', { ...grace, body: { role: 'clerk' } })
      await shop.ask('POST', '/logout', grace)
      return had.includes('refund') && !(await read(shop, '/account', grace)).includes('refund')
    },
  ],
]

export async function tour(shop: Shop, say: (line: string) => void): Promise<void> {
  for (const [promise, hold] of STEPS) {
    if (!(await hold(shop))) throw new Error(`it does not hold: ${promise}`)
    say(`  ok  ${promise}`)
  }
}

async function read(shop: Shop, path: string, options?: AskOptions): Promise<string> {
  return (await shop.ask('GET', path, options)).text
}

const org = (name: string) => ({ headers: { 'x-org': name } })

async function ofOrg(shop: Shop, name: string) {
  const [list, dashboard, product] = await Promise.all(
    ['/org/orders', '/org/dashboard', '/products/2'].map(async (path) => JSON.parse(await read(shop, path, org(name)))),
  )
  return { list: list.total, dashboard: dashboard.orders, stock: product.stock }
}
