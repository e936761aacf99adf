// Which rows a write of Prisma touched, by its arguments, its result and the schema: also those of nested writes, and those that the database deletes along.
import type { Row } from '../ports.ts'
import type { PrismaModel, PrismaRelation } from './prisma-schema.ts'
import type { Touched } from './row-changes.ts'

export const PRISMA_WRITES = [
  'create',
  'createMany',
  'createManyAndReturn',
  'update',
  'updateMany',
  'updateManyAndReturn',
  'upsert',
  'delete',
  'deleteMany',
] as const

export type PrismaWrite = (typeof PRISMA_WRITES)[number]

export interface PrismaCall {
  model: string
  operation: PrismaWrite
  /** of the call, e.g. `{ where, data }` */
  args: Row
  /** what it gave; undefined where it failed, and may have been carried out all the same */
  result: unknown
}

type Schema = ReadonlyMap<string, PrismaModel>

/** Everything that the call may have changed. A model that is not in the schema is of unknown relations: null means that any row of any model may be. */
export function prismaWrites(schema: Schema, call: PrismaCall): Touched[] | null {
  const model = schema.get(call.model)
  if (model === undefined) return null
  const touched: Touched[] = []
  const { operation, args } = call
  const changed = asRow(operation.startsWith('create') ? null : operation === 'upsert' ? args.update : args.data)
  touched.push({ name: model.name, rows: ownRows(model, call, changed), fields: Object.keys(changed) })
  if (operation.startsWith('delete')) touched.push(...wholly(model.onDelete))
  else if (sets(model.keys, changed)) touched.push(...wholly(model.onUpdate))
  for (const written of [args.create, args.update, args.data].flatMap(asList)) walk(schema, model, written, touched)
  return touched
}

function ownRows(model: PrismaModel, { operation, args, result }: PrismaCall, changed: Row): Row[] | null {
  switch (operation) {
    case 'create':
    case 'createManyAndReturn':
      return identified(model, asList(result))
    case 'createMany':
      return identified(model, asList(args.data))
    case 'updateMany':
    case 'deleteMany':
      return sets(model.id, changed) ? null : rowsOfWhere(model, args.where)
    case 'updateManyAndReturn':
      return sets(model.id, changed) ? null : identified(model, asList(result))
    default: {
      // One row, which may have had another id before: the one that `where` names.
      const before = rowsOfWhere(model, args.where)
      if (before === null && sets(model.id, changed)) return null
      const after = { ...before?.[0], ...asRow(result) }
      const known = identified(model, [after])
      return known === null || before === null ? known : [...before.map((row) => ({ ...after, ...row })), ...known]
    }
  }
}

/** The rows, if all of them say which they are. */
function identified(model: PrismaModel, rows: readonly Row[]): Row[] | null {
  const fields = model.id
  const whole = fields.length > 0 && rows.every((row) => fields.every((field) => isScalar(row[field])))
  return whole ? [...rows] : null
}

/** Rows that a `where` cannot go beyond, by the ids in it: `{ id: 1 }`, `{ id: { in: [1, 2] } }`, `{ a_b: { a: 1, b: 2 } }`. */
function rowsOfWhere(model: PrismaModel, where: unknown): Row[] | null {
  const given = asRow(where)
  const compound = model.id.length > 1 ? asRow(given[model.id.join('_')]) : {}
  const fields = Object.entries({ ...given, ...compound }).flatMap(([name, value]) => {
    const plain = isScalar(value) ? value : asRow(value).equals
    return isScalar(plain) ? [[name, plain] as const] : []
  })
  const row = Object.fromEntries(fields.filter(([name]) => model.columns.has(name)))
  const [id] = model.id
  const list = id !== undefined && model.id.length === 1 ? asRow(given[id]).in : undefined
  const rows = Array.isArray(list) ? list.map((value) => ({ ...row, [id as string]: value })) : [row]
  return identified(model, rows)
}

/** The data in a nested write, which may hold nested writes again. */
const NESTED_DATA: Readonly<Record<string, (given: Row) => unknown[]>> = {
  create: (given) => [given],
  createMany: (given) => [given.data],
  connectOrCreate: (given) => [given.create],
  upsert: (given) => [given.create, given.update],
  update: (given) => [given, given.data], // of a single related row it may be the data itself
  updateMany: (given) => [given.data],
}

/** Adds what the nested writes in the data of a model touch. */
function walk(schema: Schema, model: PrismaModel, data: Row, touched: Touched[]): void {
  for (const relation of model.relations.values()) {
    const related = schema.get(relation.model)
    if (related === undefined) continue
    const toMany = [...related.relations.values()].some((back) => back.model === model.name && back.list)
    for (const [operation, given] of Object.entries(asRow(data[relation.name]))) {
      if (given === undefined) continue
      // One to one: whose related row it was before has none now.
      if (relation.ownsKey && !toMany) touched.push({ name: model.name, rows: null, fields: [] })
      for (const one of Array.isArray(given) ? given : [given]) {
        addNested(schema, { relation, related, operation, given: one }, touched)
      }
    }
  }
}

interface Nested {
  relation: PrismaRelation
  related: PrismaModel
  operation: string
  given: unknown
}

function addNested(schema: Schema, { relation, related, operation, given }: Nested, touched: Touched[]): void {
  const linked = operation === 'connect' || operation === 'disconnect'
  if (linked && relation.ownsKey) return // the key is in the row that is written, not in the related one
  const where = linked || operation === 'delete' ? given : operation === 'update' ? asRow(given).where : null
  const data = (NESTED_DATA[operation]?.(asRow(given)) ?? []).flatMap(asList)
  const fields = data.flatMap((row) => Object.keys(row))
  const setsKey = fields.some((field) => related.keys.has(field))
  // Of one to one, a connect takes the place of a row that nobody names.
  const rows = relation.list && !(operation === 'update' && setsKey) ? rowsOfWhere(related, where) : null
  touched.push({ name: related.name, rows, fields })
  if (operation.startsWith('delete')) touched.push(...wholly(related.onDelete))
  if (setsKey && /^up/.test(operation)) touched.push(...wholly(related.onUpdate))
  for (const row of data) walk(schema, related, row, touched)
}

function wholly(names: Iterable<string>): Touched[] {
  return [...names].map((name) => ({ name, rows: null, fields: [] }))
}

function sets(fields: Iterable<string>, data: Row): boolean {
  for (const field of fields) if (data[field] !== undefined) return true
  return false
}

function asRow(value: unknown): Row {
  return typeof value === 'object' && value !== null ? (value as Row) : {}
}

function asList(value: unknown): Row[] {
  return (Array.isArray(value) ? value : [value]).filter((one) => typeof one === 'object' && one !== null)
}

function isScalar(value: unknown): boolean {
  return value instanceof Date || ['string', 'number', 'bigint', 'boolean'].includes(typeof value)
}
