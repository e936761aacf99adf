// The shop: an Express application like any other. `REDIS_URL=… DATABASE_URL=… RATES_URL=… npx tsx examples/shop/server.ts`
import type { AddressInfo } from 'node:net'
import express, { type ErrorRequestHandler } from 'express'
import { cache } from './cache.ts'
import { catalogue } from './catalogue.ts'
import { prisma } from './database.ts'
import { orders } from './orders.ts'
import { pages } from './pages.ts'
import { permissions } from './permissions.ts'
import { rates } from './rates.ts'
import { reports } from './reports.ts'
import { inOrganisation } from './tenant.ts'
import { till } from './till.ts'

const app = express()
app.use(express.json())
app.use(catalogue, pages, permissions, rates, till)
app.use('/org', inOrganisation, orders, reports)

app.get('/health', (_req, res) => {
  res.json({ ok: true })
})

// For an operator: all that is cached, at once. What is raw is not ours alone, and stays.
app.delete('/cache', async (_req, res) => {
  await cache.invalidate({ pattern: 'shop:*' })
  res.status(204).end()
})

const failed: ErrorRequestHandler = (error, _req, res, _next) => {
  const status = error.status ?? 500
  if (status >= 500) console.error(error)
  res.status(status).json({ error: status < 500 ? error.message : 'it failed' })
}
app.use(failed)

const server = app.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  if (process.send) process.send({ url })
  else console.log(url)
})

async function stop() {
  server.close()
  server.closeAllConnections()
  await cache.close() // also sends what was counted to Redis, where `cachectl stats` finds it
  await prisma.$disconnect()
  process.exit()
}

process.once('SIGINT', stop).once('SIGTERM', stop).once('disconnect', stop)
