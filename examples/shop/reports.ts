// An expensive report: made once, however many ask for it in however many processes.
import { Router } from 'express'
import { cache } from './cache.ts'
import { prisma } from './database.ts'
import { organisationOf } from './tenant.ts'

const salesReport = cache.fn(
  'stats',
  async function salesReport({ org, year }: { org: string; year: number }) {
    return prisma.$queryRaw`
      select c.name as category, count(*)::int as orders, sum(o.total)::float as revenue,
        percentile_cont(0.5) within group (order by o.total) as median, max(p.name) as example
      from orders o join product p on p.id = o.product_id join category c on c.id = p.category_id
      where o.org = ${org} and extract(year from o.placed_at) = ${year}
      group by c.name order by revenue desc, category limit 10`
  },
  { ttl: '15m', grace: '1d' },
)

export const reports = Router()

reports.get('/report', async (req, res) => {
  res.json(await salesReport({ org: organisationOf(req), year: Number(req.query.year) }))
})
