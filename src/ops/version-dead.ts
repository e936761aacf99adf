// Which keys of a walk are of the current generations. What is current is read after SCAN has named the keys and before they are judged: tokens never come
// back, so what is not current then never is again, however much is bumped and filled meanwhile.
import type { ResolvedConfig } from '../config/resolved.ts'
import { type CodeVersion, currentVersion, isOlderVersion } from '../core/code-version.ts'
import { deadGenerationOf } from '../core/dead-generation.ts'
import { createKeys, type KeyScheme, type ParsedKey, revisionKey } from '../core/key.ts'
import type { Store } from '../ports.ts'
import type { SweepOptions } from './sweep.ts'
import { isDeadVersion, rawVersions } from './version-raw.ts'
import { type ControlFields, readControl, type VersionState } from './version-state.ts'

type Examine = NonNullable<SweepOptions['examine']>

/** The control data as it is now; the hash is read anew where its revision is another one. */
export function watchControl(store: Store, prefix: string): () => Promise<ControlFields> {
  let known: { revision: string; control: ControlFields } | null = null
  return async () => {
    // The revision first: what is read behind it is at least as new.
    const revision = await store.call('GET', revisionKey(prefix))
    const text = revision === null ? null : String(revision)
    if (known !== null && known.revision === text) return known.control
    const control = await readControl(store, prefix)
    known = text === null ? null : { revision: text, control }
    return control
  }
}

/** Keeps keys by what they say and what is current; those of other software by `foreign`. */
export function examineBy(
  scheme: KeyScheme,
  current: () => Promise<ControlFields>,
  judge: {
    own(parsed: ParsedKey, control: ControlFields): boolean
    foreign(keys: readonly Buffer[]): Promise<readonly boolean[]> | readonly boolean[]
  },
): Examine {
  const keys = createKeys(scheme)
  return {
    async keep(found) {
      if (found.length === 0) return []
      const control = await current()
      const parsed = found.map((key) => keys.parse(key))
      const others = found.filter((_, index) => parsed[index] === null)
      const kept = others.length === 0 ? [] : [...(await judge.foreign(others))]
      return parsed.map((own) => (own === null ? (kept.shift() ?? false) : judge.own(own, control)))
    },
  }
}

/** Keys that a read may still find. */
export function examineLive(store: Store, scheme: KeyScheme): Examine {
  return examineBy(scheme, watchControl(store, scheme.prefix), {
    own: (parsed, { generations }) => deadGenerationOf(parsed, generations) === null,
    foreign: (keys) => keys.map(() => true),
  })
}

export interface Prunable {
  /** for `SweepOptions.examine` */
  examine: Examine
  /** by what is known now, without asking */
  isDead(key: Buffer): boolean
  /** control data was lost, or begun anew, so that nothing more could be judged */
  lost(): boolean
}

/**
 * Keys that nobody can read any more: of dead generations, and of older versions than the config's that no process has registered and that are not `kept`.
 * What registers, or is bumped, while they are looked for is seen with the next page. `assumed`: fields of versions that are taken for gone.
 */
export function prunableKeys(
  store: Store,
  config: ResolvedConfig,
  began: VersionState,
  { kept, assumed = new Set() }: { kept: ReadonlySet<string>; assumed?: ReadonlySet<string> },
): Prunable {
  const keys = createKeys({ prefix: config.prefix, tenantLabel: config.tenantLabel })
  let latest: ControlFields = began
  let lost = false
  const judge = (parsed: ParsedKey, control: ControlFields): boolean => {
    latest = control
    // In another history, or none, keys without token are current again, and processes have yet to register.
    if (control.incarnation !== began.incarnation) lost = true
    if (lost) return false
    if (deadGenerationOf(parsed, control.generations) !== null) return true
    if (control.incarnation === null || kept.has(parsed.version) || began.live.has(parsed.version)) return false
    const registered = control.versions.filter(({ field, leavingMs }) => leavingMs === null && !assumed.has(field))
    return isOfOldVersion(parsed, registered, config)
  }
  return {
    examine: examineBy(config, watchControl(store, config.prefix), {
      own: judge,
      foreign: (found) => deadRawKeys(store, config, found),
    }),
    isDead(key) {
      const parsed = keys.parse(key)
      return parsed !== null && judge(parsed, latest)
    },
    lost: () => lost,
  }
}

function isOfOldVersion(
  { version, subject }: ParsedKey,
  registered: readonly CodeVersion[],
  config: ResolvedConfig,
): boolean {
  if (!isOlderVersion(version, currentVersion(config, subject))) return false
  return !registered.some((one) => one.version === version && (one.subject ?? subject) === subject)
}

/** Of raw namespaces: keys of smaller versions than the one that is written when they are judged. */
async function deadRawKeys(store: Store, config: ResolvedConfig, keys: readonly Buffer[]): Promise<boolean[]> {
  const versions = rawVersions(config)
  for (const key of keys) versions.count(key, { bytes: null, ttlMs: null })
  await versions.readVersions(store)
  const current = new Map(versions.found.map(({ versionKey, value }) => [versionKey, value]))
  return keys.map((key) => {
    const place = versions.placeOf(key)
    return place !== null && isDeadVersion(place.version, current.get(place.versionKey) ?? null)
  })
}
