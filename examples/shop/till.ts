// A raw namespace: the tills in the stores GET price:<id> from the same Redis, and expect plain JSON there.
import { Router } from 'express'
import { cache } from './cache.ts'
import { prisma } from './database.ts'

export const till = Router()

till.delete('/till/:id', async (req, res) => {
  await cache.delete('till', [`price:${Number(req.params.id)}`])
  res.status(204).end()
})

till.get('/till/:id', async (req, res) => {
  const id = Number(req.params.id)
  const price = await cache.getOrSet('till', [`price:${id}`], () =>
    prisma.product.findUniqueOrThrow({ where: { id }, select: { name: true, price: true } }),
  )
  res.json(price)
})
