// What compiles: the types of a generated Prisma client and of a Drizzle database are the same behind the cache.
import { spawnSync } from 'node:child_process'
import { symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { generateClient } from './prisma-client.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')

const APP = `
import { PrismaPg } from '@prisma/adapter-pg'
import { drizzle } from 'drizzle-orm/node-postgres'
import { integer, pgTable } from 'drizzle-orm/pg-core'
import { createCache } from '${root}src/create-cache.ts'
import { cacheDrizzle } from '${root}src/orm/drizzle.ts'
import { cachePrisma } from '${root}src/orm/prisma.ts'
import { PrismaClient } from './client/client.ts'

const cache = createCache({ prefix: 'x', redis: 'redis://localhost', models: { city: { source: null } } })
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: 'x' }) }).$extends(
  cachePrisma(cache, { models: { City: 'city' } }),
)
export const found: Promise<{ id: number; name: string } | null> = prisma.city.findUnique({ where: { id: 1 } })
export const within: Promise<string> = prisma.$transaction(async (tx) => (await tx.city.findFirstOrThrow()).name)
export const all: Promise<[{ id: number }, number]> = prisma.$transaction([
  prisma.city.create({ data: { id: 1, name: 'a' } }),
  prisma.city.count(),
])
export const joined: Promise<string> = cache.transaction(prisma, async (c, tx) => {
  await c.model('city').invalidate(1)
  return (await tx.city.findFirstOrThrow()).name
})
// @ts-expect-error no such model
prisma.town.findMany()
// @ts-expect-error no such field
prisma.city.findMany({ where: { nope: 1 } })
// @ts-expect-error no such model in the transaction
cache.transaction(prisma, async (_, tx) => tx.town.findFirst())
// @ts-expect-error no such model in the config
cache.transaction(prisma, async (c) => c.model('town').invalidate(1))

const cities = pgTable('cities', { id: integer('id').primaryKey() })
const db = cacheDrizzle(drizzle('x'), cache, { tables: { city: cities } })
export const row: Promise<number | undefined> = db.transaction(async (tx) => (await tx.select().from(cities))[0]?.id)
export const same: Promise<number | undefined> = cache.transaction(db, async (_, tx) => (await tx.select().from(cities))[0]?.id)
// @ts-expect-error no such column
db.insert(cities).values({ nope: 1 })

const run = async <T>(work: (tx: string) => Promise<T>) => work('x')
export const length: Promise<number> = cache.transaction(run, async (_, tx) => tx.length)
// @ts-expect-error nothing that runs a transaction
cache.transaction({}, async () => 1)
`

test('an application compiles, and its mistakes do not', async () => {
  const generated = await generateClient('model City {\n  id Int @id\n  name String\n}\n')
  const { folder } = generated
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  await writeFile(join(folder, 'app.ts'), APP)
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const options = {
    noEmit: true,
    lib: ['ES2023', 'DOM'],
    rewriteRelativeImportExtensions: false,
    typeRoots: [join(root, 'node_modules/@types')],
  }
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: options,
      include: ['app.ts'],
      exclude: [],
    }),
  )
  const { stdout } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' })
  expect(stdout.split('\n').filter((line) => line.includes('app.ts'))).toEqual([])
  expect(stdout).not.toMatch(/^error/m)
  await generated.remove()
}, 180_000)
