// What became of the keys that a verb was to delete or change. Nothing is counted twice, nothing is left out: a report that does not balance is a bug.

/** Keys. `matched` is the sum of all others. */
export interface Account {
  matched: number
  /** by this run: deleted, or changed */
  deleted: number
  /** made unreachable by a bump or stamp of this run, and still there: to be swept, or gone with their TTL */
  outdated: number
  /** gone, or expired, or as they were to be, when their turn came */
  alreadyGone: number
  /** matched, and spared: `protect` of the config */
  protected: number
  /** the server refused */
  failed: number
  /** sent, and not answered: done or not */
  unknown: number
  /** not done: a dry run, or stopped before their turn */
  remaining: number
}

export function emptyAccount(): Account {
  return { matched: 0, deleted: 0, outdated: 0, alreadyGone: 0, protected: 0, failed: 0, unknown: 0, remaining: 0 }
}

export function addAccounts(accounts: readonly Account[]): Account {
  const sum = emptyAccount()
  for (const account of accounts)
    for (const field of Object.keys(sum) as (keyof Account)[]) sum[field] += account[field]
  return sum
}

export function isBalanced({ matched, ...parts }: Account): boolean {
  return matched === Object.values(parts).reduce((sum, part) => sum + part, 0)
}
