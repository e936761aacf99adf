// Which stamps of an entry are others than those that there are, as a read compares them: what was invalidated since it was loaded.
import type { EntryHeader } from '../core/entry.ts'
import { stampKey } from '../core/key.ts'
import { explainStamp } from '../core/model-stamps.ts'
import { printable } from '../core/printable.ts'
import type { Reply, Store } from '../ports.ts'

/** In words, each escaped: `a row of category was invalidated`. Empty where none is. */
export async function explainDeadStamps(store: Store, prefix: string, tags: EntryHeader['tags']): Promise<string[]> {
  if (tags.length === 0) return []
  const stamps = (await store.call('MGET', ...tags.map(({ tag }) => stampKey(prefix, tag)))) as readonly Reply[]
  return tags.flatMap(({ tag, stamp }, index) =>
    String(stamps[index]) === stamp ? [] : [printable(explainStamp(tag))],
  )
}
