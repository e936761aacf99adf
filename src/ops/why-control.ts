// What control data says of a key: the generations that it is of, which bumps ended them, which version reads it, who is loading it.
import type { ResolvedConfig } from '../config/resolved.ts'
import { currentVersion } from '../core/code-version.ts'
import { currentToken, generationsOf } from '../core/dead-generation.ts'
import { CachectlError } from '../core/errors.ts'
import { createKeys, type Keys, leaseKey, type ParsedKey, scopeField } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import type { OperationContext } from './context.ts'
import { scopeNameOf } from './version-scopes.ts'
import { readControl, readVersionState, type VersionState } from './version-state.ts'

/** A generation that is over, so that no read looks under the key. */
export interface EndedGeneration {
  /** `namespace:detail`, `model:product`, `tenant:7` */
  scope: string
  tenant: string | null
  /** of the key; null: from before the first bump */
  token: string | null
  /** the current one; null: there is none any more */
  current: string | null
  /** when it was bumped, ISO 8601, by the clock of the server; null where that is not recorded */
  endedAt: string | null
  /** by whom: `user@host:pid` */
  by: string | null
}

export interface KeyVersion {
  version: string
  /** that the config reads and writes */
  current: string
  /** ISO 8601: since when its code has been registered; null: it is not */
  registeredSince: string | null
  /** processes of it hold entries in their memory, and were seen lately */
  live: boolean
}

export interface KeyLease {
  /** random text of the load */
  token: string
  /** null: without end */
  expiresInMs: number | null
}

export interface KeyControl {
  /** null: there is no control data, so no entry is good */
  incarnation: string | null
  ended: EndedGeneration[]
  version: KeyVersion
  lease: KeyLease | null
  /** under the current generations */
  keys: Keys
  /** under which a read would look; null: under this very key */
  currentKey: string | null
  currentExists: boolean
  /** versions that the config or registered code read */
  versions: string[]
}

export async function readKeyControl(
  context: OperationContext,
  config: ResolvedConfig,
  bytes: Buffer,
  parsed: ParsedKey,
): Promise<KeyControl> {
  const [state, lease] = await Promise.all([readState(context, config), readLease(context, config, bytes)])
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel }, state.generations)
  const current = currentVersion(config, parsed.subject)
  const there = { ...parsed, version: current }
  // A digest cannot be spelled again: only the head of such a key can be compared.
  const currentKey = parsed.digest === null ? keys.build(there) : `${keys.head(there)}#${parsed.digest}`
  const here = currentKey === bytes.toString('utf8')
  const own = Object.values(config.models).map(({ version }) => version)
  return {
    incarnation: state.incarnation,
    ended: endedGenerations(state, config, parsed),
    version: versionOf(state, parsed, current),
    lease,
    keys,
    currentKey: here ? null : currentKey,
    currentExists: !here && (await context.store.call('EXISTS', currentKey)) === 1,
    versions: [...new Set([config.version, ...own, ...state.versions.map(({ version }) => version)])],
  }
}

/** A user who may read no more than the hash is told what stands there. */
async function readState(context: OperationContext, { prefix }: ResolvedConfig): Promise<VersionState> {
  try {
    return await readVersionState(context, prefix)
  } catch (thrown) {
    if (!(thrown instanceof CachectlError && thrown.code === 'REDIS_ACL')) throw thrown
    const control = await readControl(context.store, prefix)
    return { ...control, records: new Map(), live: new Set(), nowMs: context.clock.now() }
  }
}

/** Who loads an entry takes its lease first. Also of keys that are not there. */
async function readLease({ store }: OperationContext, config: ResolvedConfig, bytes: Buffer): Promise<KeyLease | null> {
  const key = leaseKey(config.prefix, bytes.toString('utf8'))
  const [token, ttl] = await Promise.all([store.call('GET', key), store.call('PTTL', key)])
  if (token === null) return null
  return { token: printable(String(token)), expiresInMs: typeof ttl === 'number' && ttl >= 0 ? ttl : null }
}

function endedGenerations(
  { generations, records }: VersionState,
  config: ResolvedConfig,
  parsed: ParsedKey,
): EndedGeneration[] {
  return generationsOf(parsed).flatMap(({ scope, token }) => {
    const current = currentToken(scope, generations)
    if (token === current) return []
    const record = records.get(scopeField(scope))?.find(({ before }) => before === token) ?? null
    return [
      {
        ...scopeNameOf(scope, config),
        token,
        current,
        endedAt: record === null ? null : new Date(record.sinceMs).toISOString(),
        by: record === null ? null : printable(record.by),
      },
    ]
  })
}

function versionOf({ versions, live }: VersionState, { version, subject }: ParsedKey, current: string): KeyVersion {
  const registered = versions.find(
    (one) => one.version === version && one.leavingMs === null && (one.subject === null || one.subject === subject),
  )
  return { version, current, registeredSince: registered?.since ?? null, live: live.has(version) }
}
