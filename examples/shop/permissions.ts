// Cached functions: what a customer may do. It is read with every request, and must go at once when it changes.
import { type Request, Router } from 'express'
import { cache } from './cache.ts'
import { prisma } from './database.ts'
import { customerOf } from './tenant.ts'

const RIGHTS: Record<string, string[]> = { clerk: ['order'], manager: ['order', 'refund', 'report'] }

export const permissionsOf = cache.fn(
  'user_data',
  async function permissionsOf(customerId: number) {
    const { role } = await prisma.customer.findUniqueOrThrow({ where: { id: customerId } })
    return { customerId, role, may: RIGHTS[role] ?? [] }
  },
  { tags: ({ role }, customerId) => [`user:${customerId}`, `role:${role}`] },
)

export const permissions = Router()

permissions.get('/permissions', async (req, res) => {
  res.json(await permissionsOf(customerOf(req) ?? 0))
})

// The result for these arguments; or all of a role by its tag: cache.invalidate({ tag: 'role:clerk' }).
permissions.put('/permissions', async (req, res) => {
  const id = customerOf(req) ?? 0
  await prisma.customer.update({ where: { id }, data: { role: String(req.body.role) } })
  await permissionsOf.invalidate(id)
  res.json(await permissionsOf(id))
})

// An answer of one's own for each customer. It carries the tag `user:<id>` by itself.
permissions.get(
  '/account',
  cache.http.express({ namespace: 'user_data', vary: { user: (req: Request) => customerOf(req) } }),
  async (req, res) => {
    const id = customerOf(req) ?? 0
    const { name } = await prisma.customer.findUniqueOrThrow({ where: { id } })
    res.json({ name, ...(await permissionsOf(id)) })
  },
)

// Everything that varies on this customer, in every namespace.
permissions.post('/logout', async (req, res) => {
  await cache.user(customerOf(req) ?? 0).invalidate()
  res.status(204).end()
})
