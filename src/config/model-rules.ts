// The rules of models: what their source can do, which names they refer to, which of their options go together.
import { nearest } from '../core/nearest.ts'
import type { Place } from './problems.ts'
import type { ReadConfig, ReadList, ReadModel } from './schema.ts'

/** Namespaces that need no declaration. */
export const STANDARD_NAMESPACES = ['detail', 'list', 'count'] as const

export function checkModels(config: ReadConfig, place: Place): void {
  for (const [name, model] of Object.entries(config.models ?? {})) {
    const at = place.at(name)
    checkSource(model, at)
    checkTenant(config, model, at.at('tenant'))
    checkReferences(config, model, at)
    checkJoins(config, model, at.at('join'))
    checkWarm(model, at.at('warm'))
    for (const [list, options] of Object.entries(model.lists ?? {})) {
      checkList(config, list, options, at.at('lists').at(list))
      checkListSource(model, options, at.at('lists').at(list))
    }
  }
  checkSubjects(config, place)
}

function checkSource(model: ReadModel, place: Place): void {
  if (model.source === undefined) {
    place
      .at('source')
      .report('is missing', 'write `source: sql(…)`, `fn(…)` or `file(…)`, or `null` if only the application fills it')
  }
  if (model.source === null) {
    for (const option of ['warm', 'lists', 'join'] as const) {
      if (model[option] !== undefined) place.at(option).report('needs a source, and there is none (`source: null`)')
    }
  }
}

/** Rows of a tenant under a key without one would be anyone's: nothing is guessed here. */
function checkTenant(config: ReadConfig, model: ReadModel, place: Place): void {
  const named = model.source?.hasTenants
  if (config.tenant === undefined) {
    if (model.tenant === true) place.report('needs a label for tenants', "add `tenant: { label: 'org' }` to the config")
    else if (named === true)
      place.report(
        'is not set, but the rows of its source name a tenant',
        "add `tenant: { label: 'org' }` to the config",
      )
    return
  }
  if (model.tenant === undefined && named === undefined) {
    place.report('is missing: do the rows of this model belong to tenants?', 'write `tenant: true` or `tenant: false`')
  }
  if (model.tenant === true && named === false)
    place.report('is true, but its source names no tenant column', "name it in the source: `tenant: 'org_id'`")
  if (model.tenant === false && named === true)
    place.report('is false, but the rows of its source name a tenant', 'leave `tenant` out in the source, or here')
}

function checkReferences(config: ReadConfig, model: ReadModel, place: Place): void {
  checkNamespaceName(config, model.namespace, place.at('namespace'))
  for (const [index, name] of (model.related ?? []).entries())
    checkModelName(config, name, place.at('related').at(index))
  for (const field of model.fields ?? []) {
    if (model.exclude?.includes(field)) place.at('exclude').report(`\`${field}\` is also in \`fields\``)
  }
}

function checkJoins(config: ReadConfig, model: ReadModel, place: Place): void {
  for (const [field, { model: name, on }] of Object.entries(model.join ?? {})) {
    const at = place.at(field)
    if (on === undefined)
      at.at('on').report('is missing', "write the column that holds the other row's id: `on: 'category_id'`")
    if (name === undefined) {
      at.at('model').report('is missing', "write the model whose rows are joined in: `model: 'category'`")
      continue
    }
    checkModelName(config, name, at.at('model'))
    const other = config.models?.[name]
    if (other?.source === null) at.at('model').report(`\`${name}\` has no source to load its rows from`)
    if (other?.source && other.source.load === undefined)
      at.at('model').report(`the source of \`${name}\` (${other.source.kind}) cannot load rows by their ids`)
  }
}

function checkWarm({ source, warm }: ReadModel, place: Place): void {
  if (warm === undefined) return
  const { strategy, ids } = warm
  if (strategy === undefined) {
    place
      .at('strategy')
      .report('is missing', `write one of ${(source?.strategies ?? ['all', 'recent', 'popular', 'ids']).join(', ')}`)
  } else if (source && !source.strategies.includes(strategy)) {
    place
      .at('strategy')
      .report(`the source (${source.kind}) cannot do \`${strategy}\``, `it can: ${source.strategies.join(', ')}`)
  }
  if (strategy === 'ids' && ids === undefined)
    place.at('ids').report('is missing', 'write the ids to warm: `ids: [1, 2]`')
  if (strategy !== 'ids' && ids !== undefined) place.at('ids').report('is only for strategy `ids`')
}

function checkList(config: ReadConfig, name: string, list: ReadList, place: Place): void {
  const label = config.tenant?.label
  if (name === 'all') place.report('`all` is what a list without a name is called in keys', 'choose another name')
  if (label !== undefined && name.startsWith(`${label}_`))
    place.report('would look like a tenant in keys', 'choose another name')
  checkNamespaceName(config, list.namespace, place.at('namespace'))
  if (typeof list.count === 'string') checkNamespaceName(config, list.count, place.at('count'))

  const by = list.by ?? []
  if (new Set(by).size < by.length) place.at('by').report('names a column twice')
  for (const column of by) {
    if (list.where && Object.hasOwn(list.where, column)) place.at('where').report(`\`${column}\` is also in \`by\``)
  }
  for (const option of ['top', 'values'] as const) {
    if (by.length === 0 && list[option] !== undefined) place.at(option).report('needs columns in `by`')
  }
  if (list.top !== undefined && list.values !== undefined) place.at('top').report('and `values` exclude each other')
  const columns = JSON.stringify([...by].sort())
  for (const [index, values] of (list.values ?? []).entries()) {
    if (by.length > 0 && JSON.stringify(Object.keys(values).sort()) !== columns) {
      place
        .at('values')
        .at(index)
        .report(`needs exactly the columns of \`by\`: ${by.join(', ')}`)
    }
  }
}

function checkListSource({ source }: ReadModel, list: ReadList, place: Place): void {
  if (!source) return
  if (source.list === undefined) place.report(`the source (${source.kind}) cannot list rows`)
  if (list.count !== undefined && list.count !== false && source.count === undefined)
    place.at('count').report(`the source (${source.kind}) cannot count rows`)
  if (list.by && list.by.length > 0 && list.values === undefined && source.distinct === undefined) {
    place.at('values').report(`is missing: the source (${source.kind}) cannot find the values of ${list.by.join(', ')}`)
  }
}

function checkSubjects({ models = {} }: ReadConfig, place: Place): void {
  const owners = new Map<string, string>()
  for (const [name, { subject = name }] of Object.entries(models)) {
    const owner = owners.get(subject)
    if (owner === undefined) owners.set(subject, name)
    else
      place
        .at(name)
        .at('subject')
        .report(
          `\`${subject}\` is also the subject of ${owner}: their keys would be the same`,
          'give one of them another `subject`',
        )
  }
}

function checkNamespaceName({ namespaces = {} }: ReadConfig, name: string | undefined, place: Place): void {
  if (name === undefined) return
  const known = [...new Set([...Object.keys(namespaces), ...STANDARD_NAMESPACES])]
  if (!known.includes(name)) place.report(`there is no namespace \`${name}\``, didYouMean(name, known))
  else if (namespaces[name]?.format === 'raw') place.report(`\`${name}\` is a raw namespace: other software writes it`)
}

function checkModelName({ models = {} }: ReadConfig, name: string, place: Place): void {
  if (!Object.hasOwn(models, name)) place.report(`there is no model \`${name}\``, didYouMean(name, Object.keys(models)))
}

function didYouMean(name: string, known: readonly string[]): string {
  const meant = nearest(name, known)
  return meant === null ? `there are: ${known.join(', ')}` : `did you mean \`${meant}\`?`
}
