import { readFileSync } from 'node:fs'
import { deflateRawSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { ackChannel } from '../../src/cache/announce.ts'
import { compareVersions, decodeEntry, decodeHeader, type EntryHeader, encodeEntry } from '../../src/core/entry.ts'
import { type GenerationRecord, readRecords } from '../../src/core/generation-record.ts'
import { INVISIBLE_ASTRAL, INVISIBLE_BMP } from '../../src/core/invisible.ts'
import {
  bumpsKey,
  busChannel,
  countersKey,
  createKeys,
  type EntryAddress,
  fenceKey,
  filledChannel,
  generationsKey,
  journalKey,
  leaseKey,
  lockKey,
  parameterSegments,
  processesKey,
  revisionKey,
  scopeField,
  stampKey,
  stampLogKey,
  stampName,
  tenantSubjectScope,
} from '../../src/core/key.ts'

interface Vectors {
  keys: ({ key: string } & EntryAddress)[]
  notKeys: string[]
  digests: { rest: string[]; text: string }[]
  tokens: { address: EntryAddress; none: string; all: string; withoutTenantSubject: string; withoutTenant: string }
  parameters: { params: Record<string, unknown>; segments: string[]; rest: string }[]
  control: Record<string, string | string[]>
  entries: { text: string; value: unknown; header: Omit<EntryHeader, 'format'> }[]
  bumps: { lines: string; records: GenerationRecord[] }[]
  tagged: Record<string, string>
  versions: [string, string, string][]
}

const contract = readFileSync(new URL('../../docs/contract.md', import.meta.url), 'utf8')
const vectors = JSON.parse(/```json\n(.*?)\n```/s.exec(contract)?.[1] ?? '') as Vectors
const keys = createKeys({ prefix: 'shop', tenantLabel: 'org' })

describe('docs/contract.md', () => {
  it.each(vectors.keys)('key $key', ({ key, ...address }) => {
    expect(keys.build(address)).toBe(key)
    const tokens = { global: null, namespace: null, subject: null, tenant: null, tenantSubject: null }
    expect(keys.parse(key)).toEqual({ ...address, digest: null, tokens })
  })

  it.each(vectors.notKeys)('not a key: %s', (key) => expect(keys.parse(key)).toBeNull())

  it.each(vectors.digests)('digest $text', ({ rest, text }) => expect(keys.rest(null, rest)).toBe(text))

  it('tokens', () => {
    const { address, ...spelled } = vectors.tokens
    const build = (global: string | null, tenant: string | null, tenantSubject: string | null) => {
      const one = (name: string, token: string | null) => new Map(token === null ? [] : [[name, token] as const])
      const generations = {
        global,
        namespaces: one('detail', global && 'n'),
        subjects: one('product', global && 's'),
        tenants: one('1', tenant),
        tenantSubjects: one(tenantSubjectScope('1', 'product'), tenantSubject),
      }
      const key = createKeys({ prefix: 'shop', tenantLabel: 'org' }, generations).build(address)
      const parsed = keys.parse(key)
      expect(parsed && keys.plain(parsed)).toBe(spelled.none)
      return key
    }
    expect({
      none: build(null, null, null),
      all: build('g', 't', 'ts'),
      withoutTenantSubject: build('g', 't', null),
      withoutTenant: build('g', null, 'ts'),
    }).toEqual(spelled)
  })

  it.each(vectors.parameters)('parameters $rest', ({ params, segments, rest }) => {
    expect(parameterSegments(params)).toEqual(segments)
    expect(keys.rest('1', segments)).toBe(rest)
  })

  it('control data', () => {
    expect({
      generations: generationsKey('shop'),
      fence: fenceKey('shop', 'product'),
      revision: revisionKey('shop'),
      bumps: bumpsKey('shop'),
      stamps: [
        stampKey('shop', stampName('tag', 'org:7', null)),
        stampKey('shop', stampName('tag', 'logo', '1')),
        stampKey('shop', stampName('rows', 'product', null)),
        stampKey('shop', stampName('rows', 'product', '1')),
        stampKey('shop', stampName('lists', 'product:byCategory', null)),
      ],
      stampLog: stampLogKey('shop'),
      lease: leaseKey('shop', 'shop:v1:detail:product:42'),
      lock: lockKey('shop', 'warm:product'),
      processes: processesKey('shop'),
      counters: countersKey('shop', 29_920_504),
      journal: journalKey('shop'),
      bus: busChannel('shop'),
      acknowledgements: ackChannel('shop', 'a1'),
      filled: filledChannel('shop', 'shop:v1:detail:product:42'),
      fields: [
        scopeField({ kind: 'global' }),
        scopeField({ kind: 'namespace', namespace: 'detail' }),
        scopeField({ kind: 'subject', subject: 'product' }),
        scopeField({ kind: 'tenant', tenant: '1' }),
        scopeField({ kind: 'tenant-subject', tenant: '1', subject: 'product' }),
      ],
    }).toEqual(vectors.control)
  })

  it.each(vectors.bumps)('bumps $lines', ({ lines, records }) => expect(readRecords(lines)).toEqual(records))

  it.each(vectors.entries)('entry $text', ({ text, value, header }) => {
    expect(encodeEntry(value, { ...header, compressAboveBytes: null })).toBe(text)
    expect(decodeEntry(Buffer.from(text))).toEqual({ ok: true, header: { ...header, format: 1 }, value })
    expect(decodeHeader(Buffer.from(text))).toMatchObject({
      ok: true,
      headerBytes: Buffer.byteLength(text) - header.payloadBytes,
    })
  })

  it('tagged JSON', () => {
    const values: Record<string, unknown> = {
      date: new Date(0),
      bigint: -12n,
      nan: Number.NaN,
      minusZero: -0,
      undefinedField: { a: undefined },
      map: new Map([['a', new Set([1])]]),
      buffer: { a: Buffer.from([0, 255]) },
      arrayBuffer: Uint8Array.of(0, 255).buffer,
      typed: Uint16Array.of(0x0201, 0x0403),
      looksLikeTag: { '~date': new Date(0) },
    }
    expect(Object.keys(values)).toEqual(Object.keys(vectors.tagged))
    const [first] = vectors.entries
    for (const [name, value] of Object.entries(values)) {
      const entry = Buffer.from(
        encodeEntry(value, { ...(first?.header as EntryHeader), compressAboveBytes: null }),
      ).toString()
      expect(entry.endsWith(`+00${vectors.tagged[name]}`), name).toBe(true)
      expect(decodeEntry(Buffer.from(entry))).toMatchObject({ ok: true, value, header: { codec: 'tagged' } })
    }
    for (const [tag] of contract.matchAll(/(?<=\| `\{")~\w+/g))
      expect(Object.values(vectors.tagged).join()).toContain(tag)
  })

  it('deflated payloads are raw deflate', () => {
    const deflated = deflateRawSync('{"a":1}', { level: 9 })
    const head = 'cctl1Jabcdefgh-_ABCD12000006fhcwarm01..0mwptqigz---------00000c--0000'
    const entry = Buffer.concat([Buffer.from(head + deflated.length.toString(36).padStart(7, '0')), deflated])
    expect(decodeEntry(entry)).toMatchObject({ ok: true, value: { a: 1 } })
  })

  it.each(vectors.versions)('%s is, beside %s: %s', (a, b, order) => expect(compareVersions(a, b)).toBe(order))

  it('names the characters that are encoded', () => {
    const row = contract.split('\n').find((line) => line.startsWith('| space, U+'))
    const ranges = [...(row ?? '').matchAll(/\b([0-9A-F]{4,5})(?:–([0-9A-F]{4,5}))?\b/g)].map(
      ([, from = '', to = from]) => [Number.parseInt(from, 16), Number.parseInt(to, 16)] as const,
    )
    const invisible = new RegExp(`^(?:[ ${INVISIBLE_BMP}]|${INVISIBLE_ASTRAL})$`)
    const told = (code: number) =>
      code === 0x20 ||
      ':%~#&*?[]\\{}'.includes(String.fromCodePoint(code)) ||
      ranges.some(([from, to]) => code >= from && code <= to)
    const wrong: string[] = []
    for (let code = 0; code < 0x110000; code++) {
      if (code === 0xd800) code = 0xe000
      const text = String.fromCodePoint(code)
      const encoded = keys.rest('1', [text]) !== text
      if (encoded !== told(code) || (invisible.test(text) && !encoded)) wrong.push(code.toString(16))
    }
    expect(wrong).toEqual([])
  })
})
