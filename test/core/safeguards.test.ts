// Every case of the one rule by which destructive verbs go on, ask or refuse; and that a refusal says what would pass.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Consent, type Danger, judge } from '../../src/core/safeguards.ts'
import { seed } from '../seed.ts'
import { runs } from './arbitrary.ts'

const danger = (given: Partial<Danger> = {}): Danger => ({
  typed: 'shop',
  everything: false,
  production: false,
  keys: 10,
  share: 0.01,
  ...given,
})
const consent = (given: Partial<Consent> = {}): Consent => ({
  yes: false,
  confirm: null,
  maxPercent: 50,
  maxKeys: null,
  interactive: false,
  ...given,
})
const GO = { kind: 'go' }
const YES_OR_NO = { kind: 'ask', typed: null }
const NAME = { kind: 'ask', typed: 'shop' }
const refusal = (...flags: string[]) => ({ kind: 'refuse', flags })

const [TTY, YES] = [{ interactive: true }, { yes: true }]
const NAMED = { confirm: 'shop' }
const MANY = { keys: 1_000, share: 0.8 }

const CASES: [string, Partial<Danger>, Partial<Consent>, object][] = [
  ['a few keys, on a terminal', {}, TTY, YES_OR_NO],
  ['a few keys, nobody there', {}, {}, refusal('--yes')],
  ['a few keys, --yes', {}, YES, GO],
  ['a few keys, --yes on a terminal', {}, { ...YES, ...TTY }, GO],
  ['a few keys, named', {}, NAMED, GO],
  ['another name, with --yes too', {}, { ...YES, confirm: 'Shop' }, refusal('--confirm=shop')],
  ['another name, on a terminal', {}, { ...TTY, confirm: 'shop2' }, refusal('--confirm=shop')],
  ['an empty name', {}, { confirm: '' }, refusal('--confirm=shop')],
  ['everything, on a terminal', { everything: true }, TTY, NAME],
  ['everything, --yes on a terminal', { everything: true }, { ...TTY, ...YES }, refusal('--confirm=shop')],
  ['everything, --yes', { everything: true }, YES, refusal('--confirm=shop')],
  ['everything, nobody there', { everything: true }, {}, refusal('--confirm=shop')],
  ['everything, named', { everything: true }, NAMED, GO],
  ['everything, named wrongly', { everything: true }, { ...YES, confirm: 'sho' }, refusal('--confirm=shop')],
  ['production, on a terminal', { production: true }, TTY, NAME],
  ['production, --yes', { production: true }, YES, refusal('--confirm=shop')],
  ['production, named', { production: true }, NAMED, GO],
  ['most of the database, --yes', MANY, YES, refusal('--max-percent=80')],
  ['most of the database, nobody there', MANY, {}, refusal('--yes', '--max-percent=80')],
  ['most of the database, on a terminal', MANY, TTY, refusal('--yes', '--max-percent=80')],
  ['most of the database, named', { ...MANY, everything: true }, NAMED, refusal('--max-percent=80')],
  ['most of the database, allowed', MANY, { ...YES, maxPercent: 80 }, GO],
  ['just the limit', { keys: 1_000, share: 0.5 }, YES, GO],
  ['just above the limit', { keys: 1_000, share: 0.5001 }, YES, refusal('--max-percent=51')],
  ['all of a small database', { keys: 100, share: 1 }, YES, GO],
  ['all of one a little larger', { keys: 101, share: 1 }, YES, refusal('--max-percent=100')],
  ['a share that nobody knows', { keys: 1_000, share: null }, YES, GO],
  ['nothing was counted', { keys: null, share: null }, YES, GO],
  ['more keys than allowed', {}, { ...YES, maxKeys: 9 }, refusal('--max-keys=10')],
  ['as many keys as allowed', {}, { ...YES, maxKeys: 10 }, GO],
  ['limits hold on a terminal', {}, { ...TTY, maxKeys: 9 }, refusal('--yes', '--max-keys=10')],
  [
    'all that is missing at once',
    { ...MANY, everything: true },
    { maxKeys: 5 },
    refusal('--confirm=shop', '--max-keys=1000', '--max-percent=80'),
  ],
]

describe('a destructive verb', () => {
  it.each(CASES)('%s', (_, given, said, expected) => {
    expect(judge(danger(given), consent(said))).toMatchObject(expected)
  })

  it('nothing to be deleted still is asked about, as keys may come', () => {
    expect(judge(danger({ keys: 0, share: 0 }), consent(TTY))).toEqual(YES_OR_NO)
  })

  const someDanger = fc.record({
    typed: fc.constantFrom('shop', 's', '127.0.0.1:6379'),
    everything: fc.boolean(),
    production: fc.boolean(),
    keys: fc.option(fc.integer({ min: 0, max: 10_000_000 })),
    share: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
  })
  const someConsent = fc.record({
    yes: fc.boolean(),
    confirm: fc.option(fc.constantFrom('shop', 's', 'yes', '')),
    maxPercent: fc.integer({ min: 1, max: 100 }),
    maxKeys: fc.option(fc.integer({ min: 1, max: 10_000_000 })),
    interactive: fc.boolean(),
  })

  it(`a refusal names what would pass (SEED=${seed})`, () => {
    fc.assert(
      fc.property(someDanger, someConsent, (given, said) => {
        const verdict = judge(given, said)
        if (verdict.kind !== 'refuse') return
        const next: Consent = { ...said }
        for (const flag of verdict.flags) {
          const [name, value] = flag.split('=')
          if (name === '--yes') next.yes = true
          else if (name === '--confirm') next.confirm = value as string
          else if (name === '--max-keys') next.maxKeys = Number(value)
          else if (name === '--max-percent') next.maxPercent = Number(value)
        }
        expect(judge(given, next)).toEqual(GO)
      }),
      runs(500),
    )
  })

  it('goes on by itself only where a yes or the name was said, and no limit is passed', () => {
    fc.assert(
      fc.property(someDanger, someConsent, (given, said) => {
        if (judge(given, said).kind !== 'go') return
        const named = said.confirm === given.typed
        expect(named || (said.yes && !given.everything && !given.production)).toBe(true)
        if (given.keys !== null && said.maxKeys !== null) expect(given.keys).toBeLessThanOrEqual(said.maxKeys)
        if ((given.keys ?? 0) > 100 && given.share !== null)
          expect(given.share * 100).toBeLessThanOrEqual(said.maxPercent)
      }),
      runs(500),
    )
  })
})
