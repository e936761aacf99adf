// Prisma: a client extension that tells the cache of every row that is written through it, after the commit.
import { CachectlError } from '../core/errors.ts'
import type { Row } from '../ports.ts'
import { type PrismaModel, parsePrismaSchema } from './prisma-schema.ts'
import { PRISMA_WRITES, type PrismaWrite, prismaWrites } from './prisma-writes.ts'
import {
  checkMapped,
  invalidateTouched,
  type MappedModel,
  type OrmCache,
  type OrmModel,
  runWrite,
} from './row-changes.ts'

export interface PrismaOptions {
  /** model of the Prisma schema to model of the config: `{ City: 'city', Order: { model: 'order', tenant: 'orgId' } }` */
  models: Readonly<Record<string, string | OrmModel>>
}

// biome-ignore lint/suspicious/noExplicitAny: Prisma's own types, which differ from client to client
type Client = any

/** For `prisma.$extends(…)`. The client's type stays what it was. */
export type PrismaExtension = (client: Client) => {
  // biome-ignore lint/complexity/noBannedTypes: as Prisma writes it for an extension that adds nothing to the type
  $extends: { extArgs: { result: {}; model: {}; query: {}; client: {} } }
}

interface Write {
  model: string
  operation: PrismaWrite
  args: Row
  query(args: Row): Promise<unknown>
  __internalParams?: { transaction?: { kind: string; id: string } }
}

/** Of the client of an interactive transaction: since 7.5 with nested ones, and before. */
const SCOPE = Symbol.for('prisma.client.transaction.scope_context')
const ID = Symbol.for('prisma.client.transaction.id')

/**
 * `prisma.$extends(cachePrisma(cache, { models: { City: 'city' } }))`: create, update, upsert, delete, their `Many` forms and nested writes invalidate the
 * rows they touch, or the whole model where the rows are not known. Within `$transaction` that happens after the commit, and not at all after a rollback.
 * Raw SQL is not seen.
 * @throws CachectlError USAGE for a model that the Prisma schema does not have, or whose id is not one field and is not named
 */
export function cachePrisma(cache: OrmCache, options: PrismaOptions): PrismaExtension {
  return (client: Client) => {
    const schema = parsePrismaSchema(String(client._engineConfig?.inlineSchema ?? ''))
    const models = mappedModels(schema, cache, options)
    /** the caches of open transactions by Prisma's id of them: nested ones behind those around them */
    const open = new Map<string, OrmCache[]>()

    const write = async ({ model, operation, args, query, __internalParams }: Write): Promise<unknown> => {
      const transaction = __internalParams?.transaction
      const within = transaction?.kind === 'itx' ? open.get(transaction.id)?.at(-1) : undefined
      const tell = (to: OrmCache, result: unknown) =>
        invalidateTouched(to, models, prismaWrites(schema, { model, operation, args, result }))
      if (within) {
        const result = await query(args)
        await tell(within, result)
        return result
      }
      // Committed when it resolves; those of `$transaction([…])` resolve after all of them have.
      return runWrite(cache, () => query(args), tell)
    }

    const extended: Client = client.$extends({
      name: 'cachectl',
      query: { $allModels: Object.fromEntries(PRISMA_WRITES.map((operation) => [operation, write])) },
      client: {
        $transaction(this: Client, input: unknown, settings?: unknown): Promise<unknown> {
          const context: Client = this ?? extended
          const begin = (work: unknown) => client.$transaction.call(context, work, settings)
          if (typeof input !== 'function') return begin(input)
          const around = open.get(transactionId(context) ?? '')?.at(-1) ?? cache
          return around.transaction(begin, (own, tx: Client) => within(open, transactionId(tx), own, () => input(tx)))
        },
      },
    })
    return extended
  }
}

/** Runs work while `cache` is that of Prisma's transaction of this id. */
async function within(
  open: Map<string, OrmCache[]>,
  id: string | null,
  cache: OrmCache,
  work: () => Promise<unknown>,
): Promise<unknown> {
  if (id === null) {
    throw new CachectlError('UNEXPECTED', 'this version of Prisma does not say which transaction a client belongs to', {
      hint: 'use cache.transaction with a client without the extension, and invalidate in it by hand',
    })
  }
  const caches = open.get(id) ?? []
  open.set(id, [...caches, cache])
  try {
    return await work()
  } finally {
    if (caches.length > 0) open.set(id, caches)
    else open.delete(id)
  }
}

function transactionId(client: Client): string | null {
  return client[SCOPE]?.txId ?? client[ID] ?? null
}

function mappedModels(
  schema: ReadonlyMap<string, PrismaModel>,
  cache: OrmCache,
  { models }: PrismaOptions,
): Map<string, MappedModel> {
  const mapped = Object.entries(models).map(([name, given]): [string, MappedModel] => {
    const own = typeof given === 'string' ? { model: given } : given
    checkMapped(cache, own)
    const model = schema.get(name)
    if (model === undefined && schema.size > 0) {
      throw new CachectlError('USAGE', `cachePrisma: the Prisma schema has no model \`${name}\``, {
        hint: `it has: ${[...schema.keys()].join(', ')}`,
      })
    }
    const missing = [own.id, own.tenant].find((field) => field !== undefined && model && !model.fields.has(field))
    if (missing !== undefined) {
      throw new CachectlError('USAGE', `cachePrisma: the model \`${name}\` has no field \`${missing}\``, {
        hint: `it has: ${[...(model?.fields ?? [])].join(', ')}`,
      })
    }
    return [
      name,
      { model: own.model, id: own.id ?? (model?.id.length === 1 ? model.id[0] : undefined), tenant: own.tenant },
    ]
  })
  return new Map(mapped)
}
