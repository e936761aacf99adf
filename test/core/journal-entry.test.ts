import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  entryOf,
  type JournalRecord,
  readFields,
  readLine,
  recordFields,
  recordLine,
  shortened,
  timeOfId,
} from '../../src/core/journal-entry.ts'
import { printable } from '../../src/core/printable.ts'
import { RAW } from '../ops/fixture.ts'
import { seed } from '../seed.ts'

const AT = '2026-11-21T03:04:05.123Z'
const ID = `${Date.parse(AT)}-0`

const head = { op: 'a1b2', verb: 'invalidate', what: ['product', 'tag:x'], who: 'ops@web-1:7', config: 'abcd' }
const intent: JournalRecord = { ...head, phase: 'intent', at: AT, ended: null }
const result: JournalRecord = {
  ...head,
  phase: 'result',
  at: '2026-11-21T03:04:07.000Z',
  ended: { began: AT, durationMs: 1877, ok: true, complete: true, exitCode: 0, counts: { matched: 3, deleted: 3 } },
}

describe('records of the journal', () => {
  it.each([intent, result])('$phase: come back from the stream and from the file as they were', (record) => {
    expect(readFields(`${Date.parse(record.at)}-5`, recordFields(record))).toEqual(record)
    expect(readLine(recordLine(record, '127.0.0.1:6379/0'))).toEqual({ record, redis: '127.0.0.1:6379/0' })
  })

  it(`any text comes back, escaped once (seed ${seed})`, () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 5 }),
        (texts) => {
          const what = shortened(texts.map(printable))
          const record = { ...intent, what }
          expect(readFields(ID, recordFields(record))).toEqual(record)
          expect(readLine(recordLine(record, ''))?.record).toEqual(record)
        },
      ),
      { seed },
    )
  })

  it('what others wrote there is escaped, cut, or no record, and never an exception', () => {
    const hostile = ['op', 'x', 'phase', 'result', 'verb', '\x1b[31mwarm', 'what', '["\x9b2J","\u202e"]', 'who', 'a\rb']
    const read = readFields(ID, [
      ...hostile,
      'counts',
      '{"\\u0007":1,"n":"2"}',
      'exit',
      'x',
      'ms',
      '-1',
      'began',
      'never',
    ])
    expect(read).toMatchObject({ verb: '\\x1B[31mwarm', what: ['\\u{9B}2J', '\\u{202E}'], who: 'a\\x0Db' })
    expect(read?.ended).toEqual({
      began: AT,
      durationMs: 0,
      ok: false,
      complete: false,
      exitCode: 0,
      counts: { '\\x07': 1, n: 0 },
    })
    expect(JSON.stringify(read)).not.toMatch(RAW)
    expect(readFields(ID, [...hostile, 'what', 'x'.repeat(1e6)])?.what[0]?.length).toBeLessThan(400)
    expect(readFields('18446744073709551615-1', recordFields(intent))).toBeNull()
    for (const fields of [[], ['op'], ['op', 'a', 'phase', 'other', 'verb', 'v', 'who', 'w'], ['__proto__', 'a']])
      expect(readFields(ID, fields)).toBeNull()
    for (const line of ['', 'null', '[]', '{"op":"a"', '{"at":"x"}', recordLine(intent, 'r').slice(0, 40)])
      expect(readLine(line)).toBeNull()
  })

  it(`anything at all can be read (seed ${seed})`, () => {
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom('op', 'phase', 'intent', 'result', 'what', 'counts', 'began', 'who'),
    )
    fc.assert(
      fc.property(fc.array(text), fc.json(), (fields, line) => {
        expect(JSON.stringify([readFields(ID, fields), readLine(line)]) ?? '').not.toMatch(RAW)
      }),
      { seed },
    )
  })

  it('long lists and texts are cut and say so; cutting twice changes nothing', () => {
    const cut = shortened(Array.from({ length: 60 }, (_, i) => (i === 0 ? 'x'.repeat(1000) : `key:${i}`)))
    expect(cut).toHaveLength(51)
    expect(cut[0]).toBe(`${'x'.repeat(300)}…`)
    expect(cut.at(-1)).toBe('… and 10 more')
    expect(shortened(cut.slice(0, 50))).toEqual(cut.slice(0, 50))
  })

  it('two records are one entry; the result alone says all but when it was met', () => {
    expect(entryOf(intent, result)).toEqual({
      ...head,
      startedAt: AT,
      endedAt: result.at,
      durationMs: 1877,
      ok: true,
      complete: true,
      exitCode: 0,
      counts: { matched: 3, deleted: 3 },
    })
    expect(entryOf(null, result)).toEqual(entryOf(intent, result))
    expect(entryOf(intent, null)).toMatchObject({
      startedAt: AT,
      endedAt: null,
      ok: null,
      exitCode: null,
      counts: null,
    })
  })

  it('ids give the time of the server', () => {
    expect(timeOfId(ID)).toBe(AT)
    expect(timeOfId('99999999999999999-0')).toBeNull()
    expect(timeOfId('nonsense')).toBeNull()
  })
})
