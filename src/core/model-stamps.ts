// Which stamps the entries of a model hold, and which of them an invalidation of its rows deletes: what the library, warm and the reports agree on.
import { stampName } from './control-key.ts'
import { type DeclaredCache, type DeclaredModel, own } from './declared.ts'
import { decodeText } from './key-text.ts'

/** A model that another one depends on, or that depends on it. */
export interface Dependency {
  model: DeclaredModel
  /** All models between the two, and both, have tenants: what shows of one in the other is of the same tenant. */
  ownTenant: boolean
}

/** The models whose rows show in entries of this one (`related`, `join`), transitively; the model itself where it leads back to itself. */
export function parentsOf(cache: DeclaredCache, model: DeclaredModel): Dependency[] {
  return walk(model, (from) => parentNames(from).flatMap((name) => own(cache.models, name) ?? []))
}

/** The models in whose entries rows of this one show, transitively. */
export function dependantsOf(cache: DeclaredCache, model: DeclaredModel): Dependency[] {
  const models = Object.values(cache.models)
  return walk(model, (from) => models.filter((candidate) => parentNames(candidate).includes(from.name)))
}

function parentNames({ related, join }: DeclaredModel): string[] {
  return [...related, ...join.map((each) => each.model)]
}

function walk(start: DeclaredModel, next: (from: DeclaredModel) => readonly DeclaredModel[]): Dependency[] {
  const found = new Map<string, Dependency>()
  const visit = (from: DeclaredModel, fromOwn: boolean) => {
    for (const model of next(from)) {
      const ownTenant = fromOwn && model.tenant
      const known = found.get(model.name)
      // Reached again over a model without tenants: rows of any tenant may show then.
      if (known && (ownTenant || !known.ownTenant)) continue
      found.set(model.name, { model, ownTenant })
      visit(model, ownTenant)
    }
  }
  visit(start, start.tenant)
  return [...found.values()]
}

/** Of a detail entry: one for each model whose rows show in it. `tenant` is that of the entry. */
export function detailStamps(cache: DeclaredCache, model: DeclaredModel, tenant: string | null): string[] {
  return parentsOf(cache, model).map(({ model: { subject }, ownTenant }) =>
    stampName('rows', subject, ownTenant ? tenant : null),
  )
}

/** Of a detail entry whose key is not the row's id: the row may change its key, and then nobody can name the old entry. */
export function rowStamp({ subject, tenant: hasTenants }: DeclaredModel, id: string, tenant: string | null): string {
  return stampName('rows', `${subject}:${id}`, hasTenants ? tenant : null)
}

/** Of list pages and counts. `list` null: a list that the config does not declare. */
export function listStamps(
  cache: DeclaredCache,
  model: DeclaredModel,
  list: string | null,
  tenant: string | null,
): string[] {
  const { subject } = model
  const ofModel = model.tenant ? tenant : null
  return [
    stampName('lists', subject, ofModel),
    stampName('lists', `${subject}:${list ?? 'all'}`, ofModel),
    ...detailStamps(cache, model, tenant),
  ]
}

/** Of what shows rows of the model under a subject of its own, such as a response. */
export function shownStamps(cache: DeclaredCache, model: DeclaredModel, tenant: string | null): string[] {
  const ofModel = model.tenant ? tenant : null
  const shown = [{ model, ownTenant: model.tenant }, ...parentsOf(cache, model)]
  const wholes = shown.filter((one) => one.ownTenant && tenant !== null).map((one) => wholeStamp(one.model))
  const names = [stampName('lists', model.subject, ofModel), stampName('rows', model.subject, ofModel)]
  return [...new Set([...names, ...detailStamps(cache, model, tenant), ...wholes])]
}

/** Of the rows of all tenants: those of each tenant cannot be named together. */
function wholeStamp({ subject }: DeclaredModel): string {
  return stampName('rows', `${subject}:*`, null)
}

/** What the invalidation of a row deletes: the tenant's own stamps, and those that what has no tenant holds. */
export function staleRowStamps({ subject, tenant: hasTenants }: DeclaredModel, tenant: string | null): string[] {
  return forTenant(hasTenants ? tenant : null, (of) => [stampName('rows', subject, of)])
}

/** What the invalidation of lists deletes; null: of all lists. */
export function staleListStamps(
  { subject, tenant: hasTenants }: DeclaredModel,
  lists: readonly string[] | null,
  tenant: string | null,
): string[] {
  return forTenant(hasTenants ? tenant : null, (of) =>
    lists === null
      ? [stampName('lists', subject, of)]
      : lists.map((list) => stampName('lists', `${subject}:${list}`, of)),
  )
}

/** What the invalidation of a whole model deletes; null: of all tenants. */
export function staleModelStamps(model: DeclaredModel, tenant: string | null): string[] {
  return [
    ...staleRowStamps(model, tenant),
    ...staleListStamps(model, null, tenant),
    ...(model.tenant && tenant === null ? [wholeStamp(model)] : []),
  ]
}

function forTenant(tenant: string | null, names: (of: string | null) => string[]): string[] {
  return tenant === null ? names(null) : [...names(tenant), ...names(null)]
}

/** What an entry that holds this stamp depends on, in words: `user:7` of a tag, `rows of category`. `kind` null: nothing that cachectl names. */
export function describeStamp(name: string): { kind: 'tag' | 'lists' | 'rows' | null; text: string } {
  const { kind, text, subject, detail, tenant } = stampParts(name)
  if (kind === 'tag') return { kind, text: `${text}${tenant}` }
  if (kind === 'lists')
    return { kind, text: detail === null ? `lists of ${text}${tenant}` : `list ${detail} of ${subject}${tenant}` }
  if (kind !== 'rows') return { kind: null, text: name }
  if (detail === '*') return { kind, text: `${subject} as a whole` }
  return { kind, text: detail === null ? `rows of ${text}${tenant}` : `row ${detail} of ${subject}${tenant}` }
}

/** What it means that this stamp is gone, in words: `a row of category was invalidated`. */
export function explainStamp(name: string): string {
  const { kind, text, subject, detail, tenant } = stampParts(name)
  if (kind === 'tag') return `the tag ${text}${tenant} was invalidated`
  if (kind === 'lists' && detail !== null) return `the list ${detail} of ${subject}${tenant} was invalidated`
  if (kind === 'lists') return `the lists of ${text}${tenant} were invalidated`
  if (kind === 'rows' && detail === '*') return `${subject} was invalidated`
  if (kind === 'rows' && detail !== null) return `row ${detail} of ${subject}${tenant} was invalidated`
  return kind === 'rows' ? `a row of ${text}${tenant} was invalidated` : `${name} was invalidated`
}

function stampParts(name: string): {
  kind: string
  text: string
  subject: string
  detail: string | null
  tenant: string
} {
  const parts = name.split(':').map((part) => decodeText(part) ?? part)
  const tenant = parts[0] === 'tenant' && parts.length === 4 ? ` of tenant ${parts[1]}` : ''
  const [kind = '', text = ''] = parts.slice(-2)
  const colon = text.lastIndexOf(':')
  const [subject, detail] = colon < 0 ? [text, null] : [text.slice(0, colon), text.slice(colon + 1)]
  return { kind, text, subject, detail, tenant }
}
