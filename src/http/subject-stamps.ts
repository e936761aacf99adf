// Which stamps a response holds that shows rows of a subject: those that an invalidation of the model, and of the models it shows rows of, deletes.
import type { ResolvedConfig, ResolvedModel } from '../config/resolved.ts'
import { own } from '../core/declared.ts'
import { stampName } from '../core/key.ts'
import { shownStamps } from '../core/model-stamps.ts'

/** By its name, or by its subject where that is another. */
export function modelOf(config: ResolvedConfig, subject: string): ResolvedModel | null {
  return own(config.models, subject) ?? Object.values(config.models).find((model) => model.subject === subject) ?? null
}

export function subjectStamps(config: ResolvedConfig, subject: string, tenant: string | null): string[] {
  const model = modelOf(config, subject)
  return model === null ? resourceStamps(subject, tenant) : shownStamps(config, model, tenant)
}

/** Of what is no model: a resource of its own, in each tenant. */
export function resourceStamps(name: string, tenant: string | null): string[] {
  return [stampName('lists', name, tenant), stampName('rows', name, tenant)]
}
