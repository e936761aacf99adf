// The fields of a row that may reach Redis: those that the model names, never those that it excludes.
import type { Row } from '../ports.ts'

export interface ProjectedModel {
  /** null: all */
  readonly fields: readonly string[] | null
  readonly exclude: readonly string[]
}

export function createProjection(model: ProjectedModel): (row: Row) => Row {
  const excluded = new Set(model.exclude)
  const fields = model.fields?.filter((field) => !excluded.has(field)) ?? null
  if (fields)
    return (row) => {
      const projected: Row = {}
      for (const field of fields) if (field in row) projected[field] = row[field]
      return projected
    }
  if (excluded.size === 0) return (row) => row
  return (row) => {
    const projected: Row = {}
    for (const field in row) if (!excluded.has(field)) projected[field] = row[field]
    return projected
  }
}

/** Whether a column shows in entries of the model. */
export function isProjected({ fields, exclude }: ProjectedModel, column: string): boolean {
  return !exclude.includes(column) && (fields === null || fields.includes(column))
}
