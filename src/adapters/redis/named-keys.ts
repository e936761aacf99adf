// Which of several named servers a key belongs to: entries, and their leases and channels, to that of their namespace; all else to `default`.
import type { NamedServers } from '../../config/resolved.ts'
import { createKeys, filledChannel, leaseKey } from '../../core/key.ts'
import { compileRawKey } from '../../core/raw-key.ts'
import type { CommandArgument } from '../../ports.ts'

export const DEFAULT_SERVER = 'default'

export function serverOfKeys({ prefix, tenantLabel, namespaces }: NamedServers): (key: CommandArgument) => string {
  const { parse } = createKeys({ prefix, tenantLabel })
  const servers = new Map(namespaces.map(({ name, server }) => [name, server]))
  const raw = namespaces.flatMap(({ keyPattern, server }) =>
    keyPattern === null || server === DEFAULT_SERVER ? [] : [{ matches: compileRawKey(keyPattern), server }],
  )
  // Spelled with no key in them: what stands before it.
  const wrappers = [leaseKey(prefix, ''), filledChannel(prefix, '')].map((text) => text.slice(0, -1))
  const ofEntry = (key: string | Buffer): string => {
    const parsed = parse(key)
    if (parsed !== null) return servers.get(parsed.namespace) ?? DEFAULT_SERVER
    const bytes = typeof key === 'string' ? Buffer.from(key) : key
    return raw.find(({ matches }) => matches(bytes) !== null)?.server ?? DEFAULT_SERVER
  }
  return (key) => {
    if (typeof key === 'number') return DEFAULT_SERVER
    // A byte is a character here: what is no text must come back as it was.
    const text = typeof key === 'string' ? key : key.toString('latin1')
    const wrapper = wrappers.find((start) => text.startsWith(start))
    if (wrapper === undefined || !text.endsWith('}')) return ofEntry(key)
    return ofEntry(key.slice(wrapper.length, -1))
  }
}
