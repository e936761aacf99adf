// The bump of a raw namespace: which version keys there are, and one more in each.
import { WHEN_FULL } from '../core/control-script.ts'
import { asCachectlError, CachectlError, EXIT } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import { isErrorReply } from '../core/reply.ts'
import type { Reply } from '../ports.ts'
import type { Changer } from './apply-change.ts'
import type { OperationContext } from './context.ts'
import { scan } from './scan.ts'
import { assertCountable, BUMP_RAW, firstBumped, type RawVersion, rawVersions } from './version-raw.ts'
import type { VersionTarget } from './version-scopes.ts'
import { requireConfig } from './version-state.ts'

/**
 * The versions that a bump of the target counts up: those of a raw namespace, of a subject in any of them, or all with `global`. They are looked for among
 * all keys. @throws CachectlError USAGE for a raw namespace without versions, REFUSED for what cannot be counted up
 */
export async function rawVersionsOf(
  context: OperationContext,
  target: VersionTarget,
  tenant: string | null,
): Promise<RawVersion[]> {
  const config = requireConfig(context)
  const declared = Object.values(config.namespaces).filter(
    ({ format, versionKey }) => format === 'raw' && versionKey !== null,
  )
  if (target.kind === 'namespace') {
    const namespace = config.namespaces[target.namespace]
    if (namespace?.format !== 'raw') return []
    if (!declared.includes(namespace))
      throw new CachectlError('USAGE', `the keys of ${printable(target.namespace)} have no version that is known`, {
        hint: `name the key that holds it with \`versionKey\`; or: cachectl invalidate 'namespace:${printable(target.namespace)}'`,
      })
  }
  if (target.kind === 'model' || declared.length === 0) return []
  const found = await findVersions(context)
  const meant = found.filter((version) => isOf(version, target, tenant))
  for (const version of meant) assertCountable(version)
  return meant
}

async function findVersions(context: OperationContext): Promise<readonly RawVersion[]> {
  const { store, signal } = context
  const raw = rawVersions(requireConfig(context))
  for await (const { keys } of scan(store, { signal, wanted: (key) => raw.knows(key) }))
    for (const key of keys) raw.count(key, { bytes: null, ttlMs: null })
  if (signal.aborted) throw asCachectlError(signal.reason)
  if (raw.overflowed)
    throw new CachectlError('REFUSED', 'there are more versions of raw namespaces than can be bumped at once', {
      hint: 'bump them by subject: cachectl version bump subject:<name>',
    })
  await raw.readVersions(store)
  return raw.found
}

function isOf(version: RawVersion, target: VersionTarget, tenant: string | null): boolean {
  if (tenant !== null && version.tenant !== tenant) return false
  switch (target.kind) {
    case 'global':
      return true
    case 'namespace':
      return version.namespace === target.namespace
    case 'tenant':
      return version.tenant === target.tenant
    case 'subject':
      return version.subject !== null && target.subjects.includes(version.subject)
    case 'model':
      return false
  }
}

/** What it was, null for nothing, and what it is then. @throws CachectlError REFUSED where it cannot be counted up; of Redis */
export async function bumpRaw(
  changer: Changer,
  version: RawVersion,
): Promise<{ before: string | null; value: string }> {
  const first = firstBumped(version)
  const [seen = null] = await changer.run((page) => page.add('GET', version.versionKey))
  try {
    return await send(changer, version, [first])
  } catch (thrown) {
    const lost = asCachectlError(thrown)
    if (lost.exitCode !== EXIT.unreachable || isErrorReply(seen)) throw lost
  }
  // Another number than just before by now: it was done, and only the answer was lost.
  return send(changer, version, [first, seen === null ? '' : String(seen)])
}

async function send(
  changer: Changer,
  { versionKey }: RawVersion,
  args: readonly string[],
): Promise<{ before: string | null; value: string }> {
  let reply: Reply = null
  for (const start of WHEN_FULL) {
    const replies = await changer.run((page) => page.add('EVAL', start + BUMP_RAW, 1, versionKey, ...args))
    reply = replies[0] ?? null
    if (!isErrorReply(reply)) break
  }
  if (Array.isArray(reply)) return { before: String(reply[0]) || null, value: String(reply[1]) }
  const { error, code } = isErrorReply(reply) ? reply : { error: String(reply), code: '' }
  const shown = printable(versionKey)
  if (code === 'NOPERM')
    throw new CachectlError('REDIS_ACL', `Redis does not allow to bump ${shown}: ${printable(error)}`)
  if (['OOM', 'MISCONF', 'READONLY', 'NOREPLICAS'].includes(code))
    throw new CachectlError('REDIS_REFUSES_WRITES', `Redis refuses to bump ${shown}: ${printable(error)}`)
  throw new CachectlError('REFUSED', `${shown} was not bumped: ${printable(error)}`, {
    hint: `look at it with: cachectl get '${shown}'`,
  })
}
