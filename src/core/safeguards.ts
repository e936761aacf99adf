// When a destructive verb goes on, asks, or refuses. One rule for all of them.
import { formatCount, formatPercent } from './units.ts'

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
  /** what else asks for the name to be typed, as a part of a sentence */
  because?: string
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
  /** `flags`: with these added it would pass */
  | { kind: 'refuse'; reason: string; flags: readonly string[] }

/** Below this many keys a share of the database says nothing. */
const FEW_KEYS = 100

/** Limits hold whoever says yes. What takes everything, or runs in production, needs its name typed; the rest a yes. */
export function judge(danger: Danger, consent: Consent): Verdict {
  const { typed, keys } = danger
  const severe = isSevere(danger)
  if (consent.confirm !== null && consent.confirm !== typed)
    return refuse(`--confirm=${consent.confirm} is not what this is about: ${typed}`, danger, consent)
  if (keys !== null && consent.maxKeys !== null && keys > consent.maxKeys)
    return refuse(`${formatCount(keys)} keys are more than --max-keys ${formatCount(consent.maxKeys)}`, danger, consent)
  if (exceedsShare(danger, consent))
    return refuse(
      `${formatCount(keys as number)} keys are ${formatPercent(danger.share as number)} of the database, more than --max-percent ${consent.maxPercent}`,
      danger,
      consent,
    )
  if (severe) {
    if (consent.confirm === typed) return { kind: 'go' }
    if (consent.interactive && !consent.yes) return { kind: 'ask', typed }
    const why = danger.everything ? 'it takes everything' : (danger.because ?? "the config says `env: 'production'`")
    return refuse(`${why}, so ${typed} must be named`, danger, consent)
  }
  if (consent.yes || consent.confirm === typed) return { kind: 'go' }
  return consent.interactive
    ? { kind: 'ask', typed: null }
    : refuse('nobody can be asked: this is no terminal', danger, consent)
}

function isSevere({ everything, production, because }: Danger): boolean {
  return everything || production || because !== undefined
}

function exceedsShare({ keys, share }: Danger, { maxPercent }: Consent): boolean {
  return keys !== null && share !== null && keys > FEW_KEYS && share * 100 > maxPercent
}

/** All that is missing, so that the next try passes. */
function refuse(reason: string, danger: Danger, consent: Consent): Verdict {
  const flags: string[] = []
  // What was named wrongly stands in the command, and a yes would not mend it.
  if (isSevere(danger) || consent.confirm !== null) {
    if (consent.confirm !== danger.typed) flags.push(`--confirm=${danger.typed}`)
  } else if (!consent.yes) flags.push('--yes')
  if (danger.keys !== null && consent.maxKeys !== null && danger.keys > consent.maxKeys)
    flags.push(`--max-keys=${danger.keys}`)
  if (exceedsShare(danger, consent))
    flags.push(`--max-percent=${Math.min(100, Math.ceil((danger.share as number) * 100))}`)
  return { kind: 'refuse', reason, flags }
}
