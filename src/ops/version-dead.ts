// Which keys of a walk are of the current generations. What is current is read after SCAN has named the keys and before they are judged: tokens never come
// back, so what is not current then never is again, however much is bumped and filled meanwhile.
import { deadGenerationOf } from '../core/dead-generation.ts'
import { createKeys, type KeyScheme, type ParsedKey, revisionKey } from '../core/key.ts'
import type { Store } from '../ports.ts'
import type { SweepOptions } from './sweep.ts'
import { type ControlFields, readControl } from './version-state.ts'

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
