// Which stamps a response holds that shows rows of a subject: those that an invalidation of the model, and of the models it shows rows of, deletes.
import type { ResolvedConfig, ResolvedModel } from '../config/resolved.ts'
import { own } from '../core/declared.ts'
import { stampName } from '../core/key.ts'

export function modelOf(config: ResolvedConfig, subject: string): ResolvedModel | null {
  return own(config.models, subject) ?? Object.values(config.models).find((model) => model.subject === subject) ?? null
}

/** A subject that is no model is a resource of its own, in each tenant. */
export function subjectStamps(config: ResolvedConfig, subject: string, tenant: string | null): string[] {
  const model = modelOf(config, subject)
  if (model === null) return [stampName('lists', subject, tenant), stampName('rows', subject, tenant)]
  const ofModel = model.tenant ? tenant : null
  const names = [stampName('lists', model.subject, ofModel), stampName('rows', model.subject, ofModel)]
  for (const parent of parentsOf(config, model))
    names.push(stampName('rows', parent.subject, model.tenant && parent.tenant ? tenant : null))
  return names
}

/** The models whose rows show in this one's, transitively. */
function parentsOf(config: ResolvedConfig, model: ResolvedModel): Set<ResolvedModel> {
  const found = new Set<ResolvedModel>()
  const visit = ({ related, join }: ResolvedModel) => {
    for (const name of [...related, ...join.map((each) => each.model)]) {
      const parent = own(config.models, name)
      if (parent === undefined || parent === model || found.has(parent)) continue
      found.add(parent)
      visit(parent)
    }
  }
  visit(model)
  return found
}
