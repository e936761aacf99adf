// The only door to the spelling of keys: `{prefix}:v{version}:{namespace}:{subject}:[{label}_{tenant}:]{rest}`, with generation tokens behind `~`.
import { type Generations, isToken, tenantSubjectScope } from './control-key.ts'
import { createKeyParser, type EntryAddress, type KeyTokens, type ParsedKey, VERSION } from './key-parse.ts'
import { encodeRest, parameterName } from './key-rest.ts'
import { encodeText, invalidKey } from './key-text.ts'
import { printable } from './printable.ts'

export {
  bumpsKey,
  busChannel,
  CODE_VERSION_FIELD,
  countersKey,
  decodeScope,
  EPOCH_FIELD,
  fenceKey,
  filledChannel,
  type Generations,
  generationsKey,
  HISTORY_FIELD,
  INCARNATION_FIELD,
  isControlKey,
  journalKey,
  LEAVING_VERSION_FIELD,
  leaseKey,
  lockKey,
  processesKey,
  readGenerations,
  revisionKey,
  type Scope,
  scopeField,
  stampKey,
  stampLogKey,
  stampName,
  tenantSubjectScope,
} from './control-key.ts'
export type { EntryAddress, KeyTokens, ParsedKey } from './key-parse.ts'
export { countRest, listRest, parameterSegments } from './key-rest.ts'
export { idText } from './key-text.ts'

export interface KeyScheme {
  /** first segment of all keys; must need no encoding */
  prefix: string
  /** `org`: tenants are written `org_7`; null where the project has none */
  tenantLabel: string | null
}

export interface Keys {
  /** @throws CachectlError KEY_INVALID */
  build(address: EntryAddress): string
  /** Everything before the rest, with its trailing colon. For bulk: `head(address) + rest(address.tenant, segments)` is `build`. */
  head(address: Omit<EntryAddress, 'rest'>): string
  /** The rest as it stands behind the head of a key with this tenant: whether there is one decides how its first segment is written. */
  rest(tenant: string | null, segments: readonly string[]): string
  /** Null when it is no entry key of this scheme, which is all that `build` never writes. Never throws. */
  parse(key: string | Uint8Array): ParsedKey | null
  /** The key without tokens: what patterns match. */
  plain(parsed: ParsedKey): string
}

const NO_GENERATIONS: Generations = {
  global: null,
  namespaces: new Map(),
  subjects: new Map(),
  tenants: new Map(),
  tenantSubjects: new Map(),
}
const NO_TOKENS: KeyTokens = { global: null, namespace: null, subject: null, tenant: null, tenantSubject: null }

/**
 * Keys of one prefix, as they are spelled under these generations.
 * @throws CachectlError KEY_INVALID when prefix or label cannot stand in a key, or a token is none
 */
export function createKeys(scheme: KeyScheme, generations: Generations = NO_GENERATIONS): Keys {
  if (encodeText(scheme.prefix, 'the prefix') !== scheme.prefix) {
    throw invalidKey(`the prefix ${printable(scheme.prefix)} holds characters that keys reserve`)
  }
  checkTokens(generations)
  const label = scheme.tenantLabel === null ? null : encodeLabel(scheme.tenantLabel)
  const start = `${scheme.prefix}:v`

  const spell = (address: Omit<EntryAddress, 'rest'>, tokens: KeyTokens): string => {
    if (!VERSION.test(address.version))
      throw invalidKey(`the version ${printable(address.version)} is neither like 1 nor like 1.2`)
    const version = withToken(address.version, tokens.global)
    const namespace = withToken(encodeText(address.namespace, 'the namespace'), tokens.namespace)
    const subject = withToken(encodeText(address.subject, 'the subject'), tokens.subject)
    const head = `${start}${version}:${namespace}:${subject}:`
    if (address.tenant === null) return head
    if (label === null) throw invalidKey(`there is a tenant, ${printable(address.tenant)}, but no tenant label`)
    const { tenant, tenantSubject } = tokens
    // the tenant's own token comes first and leaves its place empty where only the subject within the tenant was bumped
    const suffix = tenantSubject === null ? withToken('', tenant) : `~${tenant ?? ''}~${tenantSubject}`
    return `${head}${label}_${encodeText(address.tenant, 'the tenant')}${suffix}:`
  }

  const head = (address: Omit<EntryAddress, 'rest'>) => spell(address, currentTokens(address, generations))
  const rest = (tenant: string | null, segments: readonly string[]) =>
    encodeRest(segments, tenant === null ? label : null)
  return {
    head,
    rest,
    build: (address) => head(address) + rest(address.tenant, address.rest),
    plain: (parsed) =>
      spell(parsed, NO_TOKENS) + (parsed.digest === null ? rest(parsed.tenant, parsed.rest) : `#${parsed.digest}`),
    parse: createKeyParser(start, label),
  }
}

function currentTokens(
  { namespace, subject, tenant }: Omit<EntryAddress, 'rest'>,
  generations: Generations,
): KeyTokens {
  if (generations === NO_GENERATIONS) return NO_TOKENS
  return {
    global: generations.global,
    namespace: generations.namespaces.get(namespace) ?? null,
    subject: generations.subjects.get(subject) ?? null,
    tenant: tenant === null ? null : (generations.tenants.get(tenant) ?? null),
    tenantSubject:
      tenant === null || generations.tenantSubjects.size === 0
        ? null
        : (generations.tenantSubjects.get(tenantSubjectScope(tenant, subject)) ?? null),
  }
}

function checkTokens(generations: Generations): void {
  const { global, namespaces, subjects, tenants, tenantSubjects } = generations
  const tokens = [
    ...(global === null ? [] : [global]),
    ...[namespaces, subjects, tenants, tenantSubjects].flatMap((map) => [...map.values()]),
  ]
  const wrong = tokens.find((token) => !isToken(token))
  if (wrong !== undefined) throw invalidKey(`the generation token ${printable(wrong)} is none`)
}

function withToken(segment: string, token: string | null): string {
  return token === null ? segment : `${segment}~${token}`
}

function encodeLabel(label: string): string {
  return encodeText(parameterName(label), 'the tenant label').replaceAll('%255F', '%5F')
}
