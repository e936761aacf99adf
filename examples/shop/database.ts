// Prisma, with the extension that tells the cache of every row that is written: after the commit, and not at all after a rollback.
import { PrismaPg } from '@prisma/adapter-pg'
import { cachePrisma } from 'cachectl/prisma'
import { cache } from './cache.ts'
import { PrismaClient } from './generated/client.ts'

const client = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) })

export const prisma = client.$extends(
  cachePrisma(cache, {
    models: { Product: 'product', Category: 'category', Order: { model: 'order', tenant: 'org' } },
  }),
)
