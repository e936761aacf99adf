// When a destructive verb goes on, asks, or refuses. One rule for all of them.

/** What is about to be done. */
export interface Danger {
  /** what is to be typed for it: the prefix, or the endpoint where there is no config */
  typed: string
  /** `all`, or a pattern that matches everything */
  everything: boolean
  /** `env: 'production'` */
  production: boolean
  /** keys that will go; null: not counted */
  keys: number | null
  /** of the database, 0 to 1; null: unknown */
  share: number | null
}

/** What was said to it. */
export interface Consent {
  yes: boolean
  /** `--confirm` */
  confirm: string | null
  /** 0 to 100 */
  maxPercent: number
  maxKeys: number | null
  /** somebody can be asked */
  interactive: boolean
}

export type Verdict =
  | { kind: 'go' }
  /** `typed` null: yes or no */
  | { kind: 'ask'; typed: string | null }
  /** `flags`: with these it would pass */
  | { kind: 'refuse'; reason: string; flags: readonly string[] }

export declare function judge(danger: Danger, consent: Consent): Verdict
