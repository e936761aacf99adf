// What a destructive verb would meet: how many keys of which groups, how large, which for example, and what it costs to make them again.
import type { ModelRebuild } from '../core/rebuild.ts'
import type { OperationContext } from './context.ts'

export interface PreviewOptions {
  /** as of a sweep */
  decide(key: Buffer): 'pass' | 'protect' | 'act'
  /** counts to the end, however long it takes; otherwise it looks for two seconds, and estimates from what it saw */
  exact: boolean
}

export interface Preview {
  /** `sample`: keys, bytes and rebuild are estimated from the keys that were visited */
  method: 'full' | 'sample'
  visited: number
  /** DBSIZE; null where it is refused */
  population: number | null
  keys: number
  /** plus or minus, at 95 %; null where keys were counted */
  error: number | null
  protected: number
  /** of the database; null where unknown */
  share: number | null
  /** estimated from up to 1,000 keys a group; null where the server does not say */
  bytes: number | null
  /** most keys first */
  groups: { group: string; keys: number; bytes: number | null }[]
  /** ten keys, escaped */
  samples: string[]
  /** what it will take to make them again: delta of the entries, from headers; null where none could be read */
  rebuild: { totalMs: number; headersRead: number; groups: ModelRebuild[] } | null
}

/** Ends early when the signal is aborted. @throws CachectlError */
export declare function preview(context: OperationContext, options: PreviewOptions): Promise<Preview>
