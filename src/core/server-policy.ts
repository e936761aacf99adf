// What a Redis server is meant to be set to, what it is set to, and what a `maxmemory-policy` does to the keys that live there.
import { printable } from './printable.ts'
import { formatBytes } from './units.ts'

/** `server` of a config; null: it says nothing of it. */
export interface WantedServer {
  maxMemoryBytes: number | null
  policy: string | null
  samples: number | null
  lazyfree: boolean | null
  persistence: Persistence | null
}

export const PERSISTENCE = ['none', 'rdb', 'aof', 'rdb+aof'] as const
export type Persistence = (typeof PERSISTENCE)[number]

/** Names of CONFIG GET and CONFIG SET. */
export type SettingName =
  | 'maxmemory'
  | 'maxmemory-policy'
  | 'maxmemory-samples'
  | `lazyfree-lazy-${'eviction' | 'expire' | 'server-del' | 'user-del' | 'user-flush'}`
  | 'save'
  | 'appendonly'

/** Bytes and counts as numbers, `yes` and `no` as booleans, policies and save points as text. */
export type SettingValue = number | boolean | string

interface Setting {
  name: SettingName
  /** null: the config says nothing of it */
  wanted(server: WantedServer): SettingValue | 'any'
  /** field of INFO that says it where CONFIG GET is refused */
  info: string | null
}

const LAZYFREE = ['eviction', 'expire', 'server-del', 'user-del', 'user-flush'] as const

/** Save points of a Redis 7 that nobody configured. */
const DEFAULT_SAVE = '3600 1 300 100 60 10000'

const SETTINGS: readonly Setting[] = [
  ...LAZYFREE.map(
    (what): Setting => ({
      name: `lazyfree-lazy-${what}`,
      wanted: ({ lazyfree }) => lazyfree ?? 'any',
      info: null,
    }),
  ),
  { name: 'maxmemory-samples', wanted: ({ samples }) => samples ?? 'any', info: null },
  { name: 'maxmemory-policy', wanted: ({ policy }) => policy ?? 'any', info: 'maxmemory_policy' },
  { name: 'maxmemory', wanted: ({ maxMemoryBytes }) => maxMemoryBytes ?? 'any', info: 'maxmemory' },
  {
    name: 'save',
    wanted: ({ persistence }) => (persistence === null ? 'any' : persistence.startsWith('rdb') ? DEFAULT_SAVE : ''),
    info: null,
  },
  {
    name: 'appendonly',
    wanted: ({ persistence }) => (persistence === null ? 'any' : persistence.endsWith('aof')),
    info: 'aof_enabled',
  },
]

/** Patterns for CONFIG GET that cover them all. */
export const CONFIG_PATTERNS = ['maxmemory*', 'lazyfree-lazy-*', 'save', 'appendonly'] as const

export type Settings = ReadonlyMap<SettingName, SettingValue>

/** The replies to CONFIG GET, as names and values; what is not known here is left out. */
export function settingsOfConfig(pairs: readonly (readonly [name: string, value: string])[]): Settings {
  const known = new Map<SettingName, SettingValue>()
  for (const [name, value] of pairs) {
    const setting = SETTINGS.find((one) => one.name === name.toLowerCase())
    if (setting) known.set(setting.name, readValue(setting.name, value))
  }
  return known
}

/** What INFO says of them, which is less. */
export function settingsOfInfo(fields: ReadonlyMap<string, string>): Settings {
  const known = new Map<SettingName, SettingValue>()
  for (const { name, info } of SETTINGS) {
    const text = info === null ? undefined : fields.get(info)
    if (text !== undefined)
      known.set(name, readValue(name, name === 'appendonly' ? (text === '1' ? 'yes' : 'no') : text))
  }
  return known
}

function readValue(name: SettingName, text: string): SettingValue {
  if (name === 'maxmemory' || name === 'maxmemory-samples') return Number(text)
  if (name === 'maxmemory-policy' || name === 'save') return printable(text)
  return text.toLowerCase() === 'yes'
}

/** As CONFIG SET takes it. */
export function settingText(value: SettingValue): string {
  return typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value)
}

/** As a person reads it. */
export function shownSetting(name: SettingName, value: SettingValue | null): string {
  if (value === null) return 'unknown'
  if (name === 'maxmemory') return value === 0 ? 'no limit' : formatBytes(Number(value))
  if (name === 'save') return value === '' ? 'never' : String(value)
  return settingText(value)
}

export interface ComparedSetting {
  setting: SettingName
  wanted: SettingValue
  /** null: the server does not say */
  actual: SettingValue | null
  state: 'same' | 'drift' | 'unknown'
}

/**
 * What the config says, in the order in which it is safe to set it: how keys are freed, then which ones, then the limit; a limit that is raised comes
 * first, so that the server is never fuller than before. A setting that the server has not (an older one) is left out where others of CONFIG GET are known.
 */
export function compareSettings(wanted: WantedServer, actual: Settings): ComparedSetting[] {
  const compared = SETTINGS.flatMap(({ name, wanted: of }): ComparedSetting[] => {
    const value = of(wanted)
    const is = actual.get(name) ?? null
    if (value === 'any' || (is === null && name.startsWith('lazyfree') && actual.has('maxmemory-samples'))) return []
    return [{ setting: name, wanted: value, actual: is, state: stateOf(name, value, is) }]
  })
  const limit = compared.find(({ setting }) => setting === 'maxmemory')
  const raised =
    limit !== undefined && isHigher(Number(limit.wanted), limit.actual === null ? null : Number(limit.actual))
  return raised ? [limit, ...compared.filter((one) => one !== limit)] : compared
}

function stateOf(name: SettingName, wanted: SettingValue, actual: SettingValue | null): ComparedSetting['state'] {
  if (actual === null) return 'unknown'
  // When a snapshot is due is the operator's own: that there is one is what the config says.
  const same = name === 'save' ? (wanted === '') === (actual === '') : wanted === actual
  return same ? 'same' : 'drift'
}

/** 0 is no limit, and so above all. */
export function isHigher(limit: number, than: number | null): boolean {
  return than !== null && than !== 0 && (limit === 0 || limit > than)
}

/** What to write in the config to hold a server to what it is now. */
export function serverSnippet(actual: Settings): string {
  const parts = []
  const [limit, policy, samples] = [
    actual.get('maxmemory'),
    actual.get('maxmemory-policy'),
    actual.get('maxmemory-samples'),
  ]
  if (typeof limit === 'number') parts.push(`maxmemory: '${exactSize(limit)}'`)
  if (typeof policy === 'string') parts.push(`policy: '${policy}'`)
  if (typeof samples === 'number') parts.push(`samples: ${samples}`)
  return `server: { ${parts.join(', ')} }`
}

/** Bytes as a size that means exactly as many. */
export function exactSize(bytes: number): string {
  for (const [unit, size] of [
    ['gb', 1024 ** 3],
    ['mb', 1024 ** 2],
    ['kb', 1024],
  ] as const)
    if (bytes > 0 && bytes % size === 0) return `${bytes / size}${unit}`
  return `${bytes}b`
}
