// Related rows joined into detail entries: one load a page and relation, however many rows the page has.
import { CachectlError } from '../core/errors.ts'
import type { Id, Row, SourceRow } from '../ports.ts'
import { createProjection } from './warm-entry.ts'
import { asSourceError, type ModelRun } from './warm-run.ts'

export function createJoiner(
  run: ModelRun,
): (rows: readonly SourceRow[], project: (row: Row) => Row) => Promise<Row[]> {
  const joins = run.plan.model.join.map((join) => {
    const model = run.config.models[join.model]
    const source = model?.source
    if (!model || !source?.load) {
      throw new CachectlError(
        'SOURCE_INVALID',
        `${run.plan.model.name} joins ${join.model}, whose source cannot load rows by id`,
      )
    }
    const load = source.load.bind(source)
    return { ...join, load, project: createProjection(model), ofTenant: model.tenant }
  })
  return async (rows, project) => {
    const values = rows.map(({ row }) => project(row))
    for (const join of joins) {
      const wanted = new Map<string, Id>()
      for (const { row } of rows) {
        const id = row[join.on]
        if (id !== null && id !== undefined) wanted.set(String(id), id as Id)
      }
      const options = {
        signal: run.signal,
        ...(run.plan.tenant === null || !join.ofTenant ? {} : { tenant: run.plan.tenant }),
      }
      const related = await join.load([...wanted.values()], options).catch((thrown: unknown) => {
        throw asSourceError(join.model, thrown)
      })
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
