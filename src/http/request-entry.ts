// From a request to where its response is cached: what it varies on, the place, the stamps. Or why it has no place.

import { createHash } from 'node:crypto'
import type { Found, LoadControl, Place, Policy } from '../cache/kernel.ts'
import { stampsOf } from '../cache/policy.ts'
import type { Surface } from '../cache/surface.ts'
import { idText, parameterSegments } from '../core/key.ts'
import { type HttpRules, usage } from './options.ts'
import { CREDENTIALS, type RequestFacts, refusedRequest } from './response-rules.ts'
import { modelOf, subjectStamps } from './subject-stamps.ts'

/** Where the response to a request is, or why it is not looked for. */
export type Wanted = { bypass: string } | RequestEntry

export interface RequestEntry {
  bypass: null
  place: Place
  policy: Policy
  /** for one user, tenant or holder of credentials */
  private: boolean
}

/** A subject that is bumped again and again while it is read: the handler answers. */
const MOST_BUMPS = 10
/** More, and parsers begin to differ in what they leave out. */
const MOST_PARAMETERS = 100

/**
 * @param route its template: `/api/cities/:id`
 * @throws CachectlError KEY_INVALID for a user id that is none, USAGE where there must be a tenant and is none
 */
export async function wantedEntry<Args extends readonly unknown[]>(
  { kernel, tenant: currentTenant }: Surface,
  rules: HttpRules<Args>,
  facts: RequestFacts,
  route: string,
  args: Args,
): Promise<Wanted> {
  const refused = refusedRequest(facts)
  if (refused !== null) return { bypass: refused }
  const query = queryValues(facts.query, rules)
  if (query === null) return { bypass: 'query' }
  const tenant = currentTenant()
  if (rules.tenant && tenant === null)
    throw usage(
      'a response varies on the tenant, and there is none',
      'use `cache.runWithTenant` or `cache.tenant(id).http`',
    )
  const id = (await rules.user?.(...args)) ?? null
  const user = id === null ? null : idText(id)
  const open = CREDENTIALS.some((name) => facts.header(name) !== undefined && !rules.headers.includes(name))
  if (open && user === null && !rules.public) return { bypass: 'credentials' }
  const { config } = kernel
  const parameters: Record<string, unknown> = Object.assign(Object.create(null), query, {
    '@host': facts.host,
    '@scheme': facts.secure ? 'https' : undefined,
    '@path': facts.path === route ? undefined : facts.path,
    '@user': user ?? undefined,
  })
  for (const name of rules.headers) parameters[`@header.${name}`] = headerValue(name, facts.header(name))
  const tags = stampsOf(rules.tags(...args), tenant)
  // A logout outside of any tenant ends what the user has in each of them.
  if (user !== null) tags.push(...stampsOf([`user:${user}`], tenant), ...stampsOf([`user:${user}`], null))
  if (rules.subject !== null) tags.push(...subjectStamps(config, rules.subject, tenant))
  return {
    bypass: null,
    private: user !== null || tenant !== null || CREDENTIALS.some((name) => rules.headers.includes(name)),
    place: {
      namespace: rules.namespace,
      subject: `@http.GET.${route}`,
      version: config.version,
      tenant,
      rest: parameterSegments(parameters),
    },
    policy: { ...rules.policy, stamps: [...new Set(tags)] },
  }
}

/** The parameters that count, each with its values in their order; null: there is one that is neither listed nor ignored. */
function queryValues<Args extends readonly unknown[]>(
  text: string,
  { query, ignored }: HttpRules<Args>,
): Record<string, string[]> | null {
  const values: Record<string, string[]> = Object.create(null)
  if (text === '') return values
  // Behind `&`: a `?` that begins the text is part of the first name, as it is for the handler.
  const all = [...new URLSearchParams(`&${text}`)]
  if (all.length > MOST_PARAMETERS || !isDecodable(text)) return null
  for (const [name, value] of all) {
    if (query.has(name)) {
      const known = values[name]
      if (known === undefined) values[name] = [value]
      else known.push(value)
    } else if (!ignored(name)) return null
  }
  return values
}

/** Of bytes that are no UTF-8, and of `%` without a number, parsers differ in what they make. */
function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** Secrets stand in keys as digests. */
function headerValue(name: string, value: string | undefined): string | undefined {
  if (value === undefined || !(CREDENTIALS as readonly string[]).includes(name)) return value
  return createHash('sha256').update(value).digest().subarray(0, 16).toString('base64url')
}

/**
 * Loads the response, once over all processes. An entry of a subject dies with a bump of the subject too: the generation of the subject is part of its
 * key, and a hit counts only if that is still the same after the read, which has learned of any bump before it.
 */
export async function throughCache(
  { kernel }: Surface,
  subject: string | null,
  { place, policy }: RequestEntry,
  load: ((control: LoadControl, at: Place) => unknown) | null,
): Promise<Found> {
  let ran = false
  for (let attempt = 0; ; attempt++) {
    const generation = await generationOf()
    const at = generation === '' ? place : { ...place, rest: [...place.rest, `@generation_${generation}`] }
    const own = (control: LoadControl) => {
      ran = true
      return load?.(control, at)
    }
    const found = (load === null ? (await kernel.read([at], policy))[0] : await kernel.load(at, policy, own)) as Found
    // What was loaded for this very request began after it.
    if (ran || found.tier === null || generation === (await generationOf())) return found
    if (attempt === MOST_BUMPS) return { ...found, value: undefined }
  }

  async function generationOf(): Promise<string> {
    if (subject === null) return ''
    const model = modelOf(kernel.config, subject)
    const key = await kernel
      .key({
        namespace: place.namespace,
        subject: model?.subject ?? subject,
        version: model?.version ?? place.version,
        tenant: model?.tenant === false ? null : place.tenant,
        rest: [],
      })
      .catch(() => '')
    return [...key.matchAll(/~([^~:]*)/g)].map(([, token]) => token).join('.')
  }
}
