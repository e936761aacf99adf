import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Account, addAccounts, emptyAccount, isBalanced } from '../../src/core/account.ts'
import { seed } from '../seed.ts'
import { runs } from './arbitrary.ts'

const PARTS = ['deleted', 'outdated', 'alreadyGone', 'protected', 'failed', 'unknown', 'remaining'] as const

const count = fc.integer({ min: 0, max: 1_000_000_000 })
const balanced = fc.tuple(...PARTS.map(() => count)).map((counts): Account => {
  const account = emptyAccount()
  for (const [index, part] of PARTS.entries()) account[part] = counts[index] as number
  return { ...account, matched: counts.reduce((sum, one) => sum + one, 0) }
})

describe(`accounts (SEED=${seed})`, () => {
  it('nothing balances', () => {
    expect(isBalanced(emptyAccount())).toBe(true)
    expect(Object.keys(emptyAccount()).sort()).toEqual(['matched', ...PARTS].sort())
  })

  it('the sum of accounts that balance does, and counts each key once', () => {
    fc.assert(
      fc.property(fc.array(balanced, { maxLength: 6 }), (accounts) => {
        const sum = addAccounts(accounts)
        expect(isBalanced(sum)).toBe(true)
        for (const part of ['matched', ...PARTS] as const)
          expect(sum[part]).toBe(accounts.reduce((total, account) => total + account[part], 0))
      }),
      runs(200),
    )
  })

  it('one key more or less anywhere is noticed', () => {
    fc.assert(
      fc.property(balanced, fc.constantFrom('matched', ...PARTS), fc.constantFrom(1, -1), (account, part, more) => {
        expect(isBalanced({ ...account, [part]: account[part] + more })).toBe(false)
      }),
      runs(200),
    )
  })

  it('what is added is left as it was', () => {
    const one = { ...emptyAccount(), matched: 1, deleted: 1 }
    addAccounts([one, one])
    expect(one.matched).toBe(1)
  })
})
