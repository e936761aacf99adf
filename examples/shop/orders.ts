// Orders belong to organisations, which are tenants: their rows, lists, tags and functions never mix.
import { Router } from 'express'
import { cache } from './cache.ts'
import { prisma } from './database.ts'
import { organisationOf } from './tenant.ts'

export const orders = Router()

orders.get('/orders', async (req, res) => {
  const [rows, total] = await Promise.all([
    cache.model('order').list({ list: 'newest', page: Number(req.query.page ?? 1) }),
    cache.model('order').count({ list: 'newest' }),
  ])
  res.json({ total, rows })
})

// One value with a name of its own, ended by a tag. Past its minute it is still given for ten more, while one caller makes it anew.
orders.get('/dashboard', async (req, res) => {
  const load = async () => {
    const { _count, _sum } = await prisma.order.aggregate({
      where: { org: organisationOf(req) },
      _count: true,
      _sum: { total: true, quantity: true },
    })
    return { orders: _count, revenue: _sum.total, pieces: _sum.quantity }
  }
  res.json(await cache.getOrSet('stats', ['dashboard'], load, { tags: ['orders'] }))
})

// Rows that Prisma writes are invalidated by themselves; the tag is for what they do not know of. All of it after the commit.
orders.post('/orders', async (req, res) => {
  const org = organisationOf(req)
  const { product_id, quantity } = req.body as { product_id: number; quantity: number }
  const order = await cache.transaction(prisma, async (inside, tx) => {
    const { price, stock } = await tx.product.update({
      where: { id: product_id },
      data: { stock: { decrement: quantity }, sales: { increment: quantity } },
    })
    if (stock < 0) throw Object.assign(new Error('sold out'), { status: 409 }) // rolls back, and nothing is invalidated
    await inside.invalidate({ tag: 'orders' })
    return tx.order.create({ data: { org, product_id, quantity, total: price * quantity } })
  })
  res.status(201).json(order)
})
