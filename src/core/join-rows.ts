// Related rows joined into detail entries: one load a page and relation, however many rows the page has.
import type { Id, Row, Source, SourceRow } from '../ports.ts'
import { own } from './declared.ts'
import { CachectlError } from './errors.ts'
import { createProjection, type ProjectedModel } from './projection.ts'
import { asSourceError } from './source-failure.ts'

interface JoinableModel extends ProjectedModel {
  readonly name: string
  readonly tenant: boolean
  readonly source: Source | null
  readonly join: readonly { readonly field: string; readonly model: string; readonly on: string }[]
}

export interface JoinOptions {
  /** that of all rows, where it is one */
  tenant: string | null
  signal: AbortSignal
}

/** Gives the values of these rows: their fields, and under the name of each join its related row or null. */
export type Joiner = (rows: readonly SourceRow[], options: JoinOptions) => Promise<Row[]>

/** @throws CachectlError SOURCE_INVALID where a joined model cannot load rows by id */
export function createJoiner(models: Readonly<Record<string, JoinableModel>>, model: JoinableModel): Joiner {
  const project = createProjection(model)
  const joins = model.join.map((join) => {
    const joined = own(models, join.model)
    const source = joined?.source
    if (!joined || !source?.load) {
      throw new CachectlError(
        'SOURCE_INVALID',
        `${model.name} joins ${join.model}, whose source cannot load rows by id`,
      )
    }
    return { ...join, load: source.load.bind(source), project: createProjection(joined), ofTenant: joined.tenant }
  })
  return async (rows, { tenant, signal }) => {
    const values = rows.map(({ row }) => project(row))
    for (const join of joins) {
      const wanted = new Map<string, Id>()
      for (const { row } of rows) {
        const id = row[join.on]
        if (id !== null && id !== undefined) wanted.set(String(id), id as Id)
      }
      const options = { signal, ...(tenant === null || !join.ofTenant ? {} : { tenant }) }
      const related =
        wanted.size === 0 ? [] : await join.load([...wanted.values()], options).catch(failedSource(join.model))
      const byId = new Map(related.map((one) => [String(one.id), one]))
      rows.forEach(({ row, tenant }, index) => {
        const one = byId.get(String(row[join.on]))
        // A foreign key that crosses tenants is a fault in the data; it must not become a leak.
        const visible = one && (!join.ofTenant || one.tenant === tenant) ? join.project(one.row) : null
        // A new object: the projection may be the source's own row.
        values[index] = { ...(values[index] as Row), [join.field]: visible }
      })
    }
    return values
  }
}

const failedSource =
  (model: string) =>
  (thrown: unknown): never => {
    throw asSourceError(model, thrown)
  }
