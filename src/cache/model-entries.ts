// Detail entries of a model: read through its source, written as projected and joined, by ids or by what the model's `key` gives.
import { CachectlError } from '../core/errors.ts'
import { createJoiner, type Joiner } from '../core/join-rows.ts'
import { idText } from '../core/key.ts'
import { rowTtlMs } from '../core/lifetime.ts'
import { detailStamps, rowStamp } from '../core/model-stamps.ts'
import { optionNames, refuseUnknown } from '../core/option-names.ts'
import type { Id, Row, SourceRow } from '../ports.ts'
import type { Found, LoadControl, LoadMany, Place } from './kernel.ts'
import { createPolicies, identify, keyTextOf, loadById, type ModelContext, sourceWith } from './model-context.ts'
import { createValidator } from './model-validation.ts'
import { namespaceOf } from './policy.ts'

export interface SetOptions {
  /** the row's version, as the source writes it (`updated_at` at full precision) */
  version?: string | null
}

const SET_OPTIONS = optionNames<SetOptions>({ version: true })

export interface ModelEntries {
  get(id: Id): Promise<Row | undefined>
  getMany(ids: readonly Id[]): Promise<Map<Id, Row>>
  set(row: Row, options?: SetOptions): Promise<boolean>
  refresh(id: Id): Promise<Row | undefined>
  key(id: Id): Promise<string>
  place(text: string, tenant: string | null): Place
}

/** What was loaded of a row. */
interface LoadedRow {
  source: SourceRow
  value: Row
}

export function createModelEntries(context: ModelContext): ModelEntries {
  const { model, config, kernel } = context
  const policies = createPolicies(context, model.namespace, true, (tenant) => detailStamps(config, model, tenant))
  const namespace = () => namespaceOf(config, model.namespace)
  let joiner: Joiner | null = null
  const join: Joiner = (rows, options) => {
    joiner ??= createJoiner(config.models, model)
    return joiner(rows, options)
  }

  const place = (text: string, tenant: string | null): Place => ({
    namespace: model.namespace,
    subject: model.subject,
    version: model.version,
    tenant,
    rest: [text],
  })

  /** By what their keys end with: rows of other tenants, and those that nobody asked for, are not there. */
  const loadRows = async (texts: readonly string[], tenant: string | null, signal: AbortSignal) => {
    const wanted = new Set(texts)
    const rows = (await loadById(context, [...wanted], tenant, signal)).filter(
      (row) => (!model.tenant || row.tenant === tenant) && wanted.has(keyTextOf(model, row)),
    )
    const values = await join(rows, { tenant, signal })
    return new Map(
      rows.map((source, index) => [keyTextOf(model, source), { source, value: values[index] as Row } as LoadedRow]),
    )
  }

  const tell = ({ source }: LoadedRow, tenant: string | null, control: LoadControl): void => {
    control.sourceVersion(source.version)
    if (typeof model.ttl === 'function') control.ttlMs(rowTtlMs(model, namespace(), source.row))
    if (model.key) control.stamps([rowStamp(model, idText(source.id), tenant)])
  }

  const loader =
    (texts: readonly string[], tenant: string | null): LoadMany =>
    async (missing, control) => {
      const [first = 0] = missing
      const rows = await loadRows(
        missing.map((index) => texts[index] as string),
        tenant,
        control(first).signal,
      )
      return missing.map((index) => {
        const row = rows.get(texts[index] as string)
        if (row) tell(row, tenant, control(index))
        return row?.value
      })
    }

  const readMany = async (texts: readonly string[], tenant: string | null): Promise<Found[]> => {
    const policy = policies(tenant)
    const places = texts.map((text) => place(text, tenant))
    if (model.source === null) return kernel.read(places, policy)
    sourceWith(model, 'load')
    if (validator === null) return kernel.loadMany(places, policy, loader(texts, tenant))
    return validator(texts, places, policy, tenant, loader(texts, tenant))
  }
  const validator = model.validateMs === null ? null : createValidator(context, model.validateMs)

  /** What is not cached at all. */
  const readThrough = async (texts: readonly string[], tenant: string | null): Promise<(Row | undefined)[]> => {
    const rows = await loadRows(texts, tenant, new AbortController().signal)
    return texts.map((text) => rows.get(text)?.value)
  }

  const values = async (texts: readonly string[]): Promise<(Row | undefined)[]> => {
    const tenant = context.tenant()
    if (texts.length === 0) return []
    if (!model.enabled) return readThrough(texts, tenant)
    return (await readMany(texts, tenant)).map(rowOf)
  }

  return {
    place,
    async get(id) {
      return (await values([idText(id)]))[0]
    },
    async getMany(ids) {
      if (!Array.isArray(ids))
        throw new CachectlError('USAGE', 'the ids are no list', { hint: 'write getMany([42, 43])' })
      const texts = [...new Set(ids.map(idText))]
      const found = await values(texts)
      const byText = new Map(texts.map((text, index) => [text, found[index]]))
      const rows = new Map<Id, Row>()
      for (const id of ids) {
        const row = byText.get(idText(id))
        if (row !== undefined) rows.set(id, row)
      }
      return rows
    },
    async set(row, options = {}) {
      refuseUnknown(options, SET_OPTIONS, 'set')
      const { version = null } = options
      if (version !== null && typeof version !== 'string')
        throw new CachectlError('USAGE', '`version` is no text', {
          hint: 'give it as the source writes it, with all its digits',
        })
      const tenant = context.tenant()
      const { id, tenant: named } = identify(model, row)
      if (model.tenant && named !== null && named !== tenant)
        throw new CachectlError('USAGE', `the row of ${model.name} belongs to tenant ${named}, this call to ${tenant}`)
      if (!model.enabled) return false
      const source: SourceRow = { id, row, version, tenant }
      const signal = new AbortController().signal
      const [value] = await join([source], { tenant, signal })
      const policy = policies(tenant)
      const stamps = model.key ? [...policy.stamps, rowStamp(model, idText(id), tenant)] : policy.stamps
      const ttlMs = rowTtlMs(model, namespace(), row)
      const text = keyTextOf(model, source)
      return kernel.write([
        { place: place(text, tenant), policy: { ...policy, stamps, ttlMs }, value, sourceVersion: version },
      ])
    },
    async refresh(id) {
      const tenant = context.tenant()
      const text = idText(id)
      sourceWith(model, 'load')
      if (!model.enabled) return (await readThrough([text], tenant))[0]
      const load = loader([text], tenant)
      const one = async (control: LoadControl) => ((await load([0], () => control)) as readonly unknown[])[0]
      return rowOf(await kernel.refresh(place(text, tenant), policies(tenant), one))
    },
    key: async (id) => kernel.key(place(idText(id), context.tenant())),
  }
}

/** `undefined` for a row that is not there, however that was remembered. */
function rowOf({ value }: Found): Row | undefined {
  return (value ?? undefined) as Row | undefined
}
