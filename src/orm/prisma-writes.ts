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

/** Everything that the call may have changed; null: any row of any model, because the schema is not known. */
export function prismaWrites(schema: Schema, call: PrismaCall): Touched[] | null {
  const model = schema.get(call.model)
  if (model === undefined) return null
  const { operation, args } = call
  const where = asRow(args.where)
  const given = asRow(operation.startsWith('create') ? null : operation === 'upsert' ? args.update : args.data)
  const fields = Object.keys(given).filter((field) => given[field] !== undefined && given[field] !== where[field])
  const touched: Touched[] = [{ name: model.name, rows: ownRows(model, call), fields }]
  if (operation.startsWith('delete')) touched.push(...wholly(model.onDelete))
  else if (fields.some((field) => model.keys.has(field))) touched.push(...wholly(model.onUpdate))
  for (const written of [args.create, args.update, args.data].flatMap(asList)) walk(schema, model, written, touched)
  return touched
}

function ownRows(model: PrismaModel, { operation, args, result }: PrismaCall): Row[] | null {
  switch (operation) {
    case 'create':
      return [{ ...asRow(args.data), ...asRow(result) }]
    case 'createMany':
      return asList(args.data)
    case 'createManyAndReturn':
      return result === undefined ? null : asList(result)
    case 'updateMany':
    case 'deleteMany':
      return rowsOfWhere(model, args.where)
    case 'updateManyAndReturn':
      return result === undefined ? rowsOfWhere(model, args.where) : asList(result)
    default:
      return rowsOfWhere(model, args.where).map((row) => ({ ...row, ...asRow(result) }))
  }
}

/** What is known of the rows that a `where` cannot go beyond: `{ id: 1 }`, `{ id: { in: [1, 2] } }`, `{ orgId_id: { orgId: 1, id: 2 } }`. */
function rowsOfWhere(model: PrismaModel, where: unknown): Row[] {
  const given = Object.entries(asRow(where))
  const compounds = given.filter(([name]) => !model.fields.has(name) && !model.relations.has(name) && !LOGIC.has(name))
  const row: Row = {}
  for (const [name, value] of [...given, ...compounds.flatMap(([, parts]) => Object.entries(asRow(parts)))]) {
    const plain = isScalar(value) ? value : asRow(value).equals
    if (model.fields.has(name) && isScalar(plain)) row[name] = plain
  }
  const lists = given.filter(([name, value]) => model.fields.has(name) && Array.isArray(asRow(value).in))
  const [field, list] = lists.find(([name]) => model.id.includes(name)) ?? lists[0] ?? []
  return field === undefined ? [row] : (asRow(list).in as unknown[]).map((value) => ({ ...row, [field]: value }))
}

const LOGIC: ReadonlySet<string> = new Set(['AND', 'OR', 'NOT'])

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
    const backs = [...related.relations.values()].filter((back) => back.model === model.name && back !== relation)
    const oneToOne = relation.ownsKey && backs.some((back) => !back.list)
    for (const [operation, given] of Object.entries(asRow(data[relation.name]))) {
      if (given === undefined) continue
      // Whose related row it was before has none now.
      if (oneToOne) touched.push({ name: model.name, rows: null, fields: [] })
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
  const changed = operation === 'upsert' ? asList(asRow(given).update) : operation.startsWith('update') ? data : []
  const fields = changed.flatMap((row) => Object.keys(row))
  // Of one to one, a connect takes the place of a row that nobody names.
  touched.push({ name: related.name, rows: relation.list ? rowsOfWhere(related, where) : null, fields })
  if (operation.startsWith('delete')) touched.push(...wholly(related.onDelete))
  if (fields.some((field) => related.keys.has(field))) touched.push(...wholly(related.onUpdate))
  for (const row of data) walk(schema, related, row, touched)
}

function wholly(names: Iterable<string>): Touched[] {
  return [...names].map((name) => ({ name, rows: null, fields: [] }))
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
