import { describe, expect, it } from 'vitest'
import { copyValue, freezeValue } from '../../src/core/shared-value.ts'

const mutable = (): Record<string, unknown> => ({
  date: new Date(0),
  map: new Map([['a', { b: [1] }]]),
  set: new Set([{ c: 1 }]),
  buffer: Buffer.from('abc'),
  typed: new Uint16Array([1, 2]),
  bytes: new Uint8Array([1]).buffer,
})

describe('freezeValue', () => {
  it('freezes what it can in all its depth', () => {
    const value = { list: [{ a: 1 }, null], text: 'x', big: 1n, none: undefined }
    expect(freezeValue(value)).toBe(true)
    expect(Object.isFrozen(value) && Object.isFrozen(value.list) && Object.isFrozen(value.list[0])).toBe(true)
    for (const plain of [null, undefined, 'x', 1, true, 1n]) expect(freezeValue(plain)).toBe(true)
  })

  it.each(Object.keys(mutable()))('freezes nothing of a value with a %s in it, and says so', (part) => {
    const value = { deep: [{ part: mutable()[part] }] }
    expect(freezeValue(value)).toBe(false)
    expect(Object.isFrozen(value) || Object.isFrozen(value.deep) || Object.isFrozen(value.deep[0])).toBe(false)
  })
})

describe('copyValue', () => {
  it('gives an equal value that shares nothing', () => {
    const value = { ...mutable(), list: [{ a: 1 }, null], text: 'x', none: undefined, nan: Number.NaN, big: 1n }
    const copy = copyValue(value) as ReturnType<typeof mutable>
    expect(copy).toEqual(value)
    expect(Buffer.isBuffer(copy.buffer)).toBe(true)
    ;(copy.date as Date).setTime(5)
    ;(copy.map as Map<string, { b: number[] }>).get('a')?.b.push(2)
    ;(copy.set as Set<unknown>).clear()
    ;(copy.buffer as Buffer).fill(0)
    ;(copy.typed as Uint16Array).fill(0)
    expect(value).toMatchObject(mutable())
  })

  it('takes __proto__ for a field like any other', () => {
    const copy = copyValue(JSON.parse('{"__proto__":{"admin":true}}'))
    expect(Object.keys(copy)).toEqual(['__proto__'])
    expect(copy.admin).toBeUndefined()
  })
})
