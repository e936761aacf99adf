import fc from 'fast-check'
import { expect, it } from 'vitest'
import { plainJson, readPlainJson } from '../../src/core/plain-json.ts'
import { runs } from './arbitrary.ts'

const cycle: Record<string, unknown> = {}
cycle.self = cycle

it.each([
  [{ at: new Date(0) }, '"at" is an instance of Date'],
  [new Date(Number.NaN), 'it is an instance of Date'],
  [[1n], '"0" is a bigint'],
  [Number.NaN, 'it is NaN'],
  [{ a: [-0] }, '"0" is -0'],
  [[undefined], '"0" is undefined'],
  // biome-ignore lint/suspicious/noSparseArray: the hole is the case
  [[1, , 2], '"1" is undefined'],
  [undefined, 'it is undefined'],
  [() => 1, 'it is a function'],
  [{ s: Symbol('x') }, '"s" is a symbol'],
  [new Map([[1, 2]]), 'an instance of Map'],
  [Buffer.from('x'), 'an instance of Buffer'],
  [{ toJSON: () => 1 }, 'it is an instance of Object'],
  [new (class Money {})(), 'an instance of Money'],
  [cycle, 'it contains itself'],
])('refuses %o', (value, message) => {
  expect(() => plainJson(value)).toThrow(message)
})

it('leaves out undefined fields, and nothing else', () => {
  expect(plainJson({ a: undefined, b: null, '~date': 1 })).toBe('{"b":null,"~date":1}')
})

it('reads what it wrote', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (one) => {
      const value = JSON.parse(JSON.stringify(one)) // without -0
      expect(readPlainJson(Buffer.from(plainJson(value)))).toEqual({ value })
    }),
    runs(500),
  )
})

it.each([
  ['', 'nothing'],
  ['{"a":', 'half of it'],
  ['\x80\x04\x95', 'a pickle'],
  ['undefined', 'no JSON'],
])('%j is %s', (text) => {
  expect(readPlainJson(Buffer.from(text, 'latin1'))).toBeNull()
})

it('takes text that is not UTF-8 for no JSON', () => {
  expect(readPlainJson(Buffer.from([0x22, 0xff, 0x22]))).toBeNull()
})
