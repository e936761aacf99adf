// Guarantee 1 from the command line: what running processes read after `cachectl invalidate` or `version bump` has said that it is applied was loaded after
// it was called, whatever the target, with loads, warms and copies in memory under way.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seed } from '../seed.ts'
import { untilMet } from './goes.ts'
import { type History, trialsIn, violationsOf } from './history.ts'
import { NAIVE_CLI, type Rewrite } from './naive-cli.ts'
import { isWarmed, openOutside } from './outside.ts'
import { type OpenedScene, openScene, PROOF, runTrials, TRIALS, type TrialsOptions } from './processes.ts'
import { BUMP_KINDS, KINDS, type Kind, OUTSIDE_KINDS } from './trial.ts'

let { scene, truth, close } = {} as OpenedScene

beforeAll(async () => {
  ;({ scene, truth, close } = await openScene())
})
afterAll(() => close())

/** What takes everything is everybody's: of one trial in thirty. */
const GLOBAL: readonly Kind[] = ['global', 'bump-global']
const LOCAL = [...KINDS, ...OUTSIDE_KINDS, ...BUMP_KINDS].filter((kind) => !GLOBAL.includes(kind))
const anyKind = (trial: number): Kind =>
  (trial % 30 === 29 ? GLOBAL[((trial - 29) / 30) % 2] : LOCAL[trial % LOCAL.length]) as Kind

interface Attempt extends Partial<TrialsOptions> {
  l1?: boolean
  naive?: Rewrite
}

async function attempt(
  kind: Kind | ((trial: number) => Kind),
  // Loads that take as long as an invalidation: many are under way when it comes.
  { l1 = false, trials = TRIALS, loadMs = 300, naive, ...more }: Attempt = {},
): Promise<{ history: History; warmed: number }> {
  const outside = openOutside(scene.redis.url, { l1, truth, loadMs, trials, seed, ...(naive ? { naive } : {}) })
  try {
    // Readers go on for longer than two invalidations take beside them.
    const times = { durationMs: 900, loadMs, restMs: 15, atOnce: PROOF === 1 ? 20 : 30 }
    const history = await runTrials(scene, { kind, trials, ...times, open: { l1 }, outside: outside.run, ...more })
    return { history, warmed: outside.warmed() }
  } finally {
    await outside.close()
  }
}

/** Of a long run. */
function tell(what: string, { reads, loads, nearHits, invalidations }: History, warmed: number): void {
  const counts = `${reads.length} reads, ${loads} loads, ${nearHits} L1 hits, ${warmed} rows warmed, ${invalidations.length} invalidations`
  process.stdout.write(`${what}: ${counts}\n`)
}

describe(`an old value never comes back (seed ${seed}, ${TRIALS} trials each)`, () => {
  const runs: [string, Kind | ((trial: number) => Kind)][] =
    PROOF === 1 ? [['any target', anyKind]] : [...LOCAL, ...GLOBAL].map((kind) => [kind, kind])
  for (const l1 of [false, true]) {
    it.each(runs)(`after an invalidation of %s${l1 ? ', with L1' : ''}`, { timeout: 1_200_000 }, async (name, kind) => {
      const kindOf = typeof kind === 'function' ? kind : () => kind
      const warms = Array.from({ length: TRIALS }).some((_, trial) => isWarmed({ trial, kind: kindOf(trial) }))
      let nearHits = 0
      let warmed = 0
      // Rows that readers have just filled are not warmed, and copies in memory are short-lived beside invalidations: that there were some may take a few goes.
      for (let go = 0; go < 10 && (go === 0 || (warms && warmed === 0) || (l1 && nearHits === 0)); go++) {
        const { history, ...one } = await attempt(kind, { l1 })
        nearHits += history.nearHits
        warmed += one.warmed
        const violations = violationsOf(history)
        if (PROOF > 1)
          tell(
            `${name}, l1 ${l1}: ${TRIALS} trials of seed ${seed}, ${violations.length} violations`,
            history,
            one.warmed,
          )
        expect(violations.slice(0, 3)).toEqual([])
        expect(history.invalidations).toHaveLength(TRIALS * 2)
        expect(history.invalidations.every(({ status }) => status === 'applied')).toBe(true)
        expect(history.loads).toBeGreaterThan(TRIALS)
        expect(history.reads.length).toBeGreaterThan(TRIALS * 4)
      }
      if (warms) expect(warmed).toBeGreaterThan(0)
      if (l1) expect(nearHits).toBeGreaterThan(0)
    })
  }
})

describe(`what an invalidation may not leave out (seed ${seed})`, () => {
  const MUTANTS: [keyof typeof NAIVE_CLI, Kind][] = [
    ['stamps stay', 'tag'],
    ['stamps stay', 'list'],
    ['no bump', 'namespace'],
    ['no bump', 'bump-model'],
    ['silent bump', 'bump-namespace'],
  ]
  it.each(MUTANTS)('%s: caught by %s', async (name, kind) => {
    const naive = { trials: 8, atOnce: 8, loadMs: 600, durationMs: 900, naive: NAIVE_CLI[name] }
    const go = async () => trialsIn(violationsOf((await attempt(kind, naive)).history))
    expect(await untilMet(go, (caught) => caught > 0)).toBeGreaterThan(0)
  })
})
