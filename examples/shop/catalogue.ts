// Products and categories: models of the config, read through their sources. Writing them through Prisma invalidates them.
import { Router } from 'express'
import { cache } from './cache.ts'
import { prisma } from './database.ts'

const products = cache.model('product')
const categories = cache.model('category')

export const catalogue = Router()

// A row with its category, by its id.
catalogue.get('/products/:id', async (req, res) => {
  const product = await products.get(Number(req.params.id))
  if (product) res.json(product)
  else res.status(404).json({ error: 'no such product' })
})

// The row, its lists, and the answers that show it go by themselves. What is not read through the model is named: here, once.
catalogue.patch('/products/:id', async (req, res) => {
  const id = Number(req.params.id)
  const { name, price } = req.body
  const product = await prisma.product.update({ where: { id }, data: { name, price }, omit: { cost: true } })
  await cache.fragment.invalidate('shelf', [product.category_id])
  await cache.delete('till', [`price:${id}`])
  res.json(product)
})

// A page of a list, and how many rows all its pages have.
catalogue.get('/products', async (req, res) => {
  const where = { category_id: String(req.query.category) }
  const [rows, total] = await Promise.all([
    products.list({ list: 'byCategory', where, page: Number(req.query.page ?? 1) }),
    products.count({ list: 'byCategory', where }),
  ])
  res.json({ total, rows })
})

// Many rows: one round trip to Redis, one query for all that is missing.
catalogue.get('/basket', async (req, res) => {
  const ids = String(req.query.ids).split(',').map(Number)
  res.json([...(await products.getMany(ids)).values()])
})

// A whole answer. `subject` ends it with every change of a product; another query parameter than these bypasses the cache.
catalogue.get(
  '/bestsellers',
  cache.http.express({ namespace: 'list', subject: 'product', vary: ['page'], ignore: ['utm_*'], ttl: '5m' }),
  async (req, res) => {
    const page = Number(req.query.page ?? 1)
    const rows = await prisma.product.findMany({
      omit: { cost: true },
      include: { category: true },
      orderBy: [{ sales: 'desc' }, { id: 'asc' }],
      skip: (page - 1) * 20,
      take: 20,
    })
    res.json(rows)
  },
)

// A REST resource: GETs are cached, and what succeeds in changing it invalidates, before its client hears of it.
const categoryRoutes = Router()
catalogue.use('/categories', cache.http.resource('category'), categoryRoutes)

categoryRoutes.get('/', async (_req, res) => {
  res.json(await prisma.category.findMany({ orderBy: { name: 'asc' } }))
})

categoryRoutes.get('/:id', async (req, res) => {
  res.json(await prisma.category.findUniqueOrThrow({ where: { id: req.params.id } }))
})

categoryRoutes.patch('/:id', async (req, res) => {
  res.json(await prisma.category.update({ where: { id: req.params.id }, data: { name: String(req.body.name) } }))
})

// Read with nearly every page, so it comes from the memory of the process (`l1` of the namespace).
catalogue.get('/category-names', async (_req, res) => {
  res.json((await categories.list({ list: 'byName' })).map(({ name }) => name))
})
