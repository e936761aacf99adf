import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WirePage } from '../../../src/adapters/redis/page.ts'
import type { CommandArgument } from '../../../src/ports.ts'
import { seed } from '../../seed.ts'

const wire = (page: WirePage): Buffer =>
  Buffer.concat(page.chunks().map((chunk) => (typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk)))

/** What RESP is by its definition, slow and plain. */
const reference = (commands: readonly (readonly CommandArgument[])[]): Buffer =>
  Buffer.concat(
    commands.flatMap((args) => [
      Buffer.from(`*${args.length}\r\n`),
      ...args.flatMap((argument) => {
        const bytes = Buffer.isBuffer(argument) ? argument : Buffer.from(String(argument))
        return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]
      }),
    ]),
  )

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.constantFrom('', 'Zürich', 'Оренбург', '東京', '😀', '\ud800', '\udc00x', '\u0080', '\u00ff', '\r\n', '\0'),
  fc
    .constantFrom('a', 'é', '\u00ff')
    .chain((unit) => fc.constantFrom(65_535, 65_536, 70_000).map((n) => unit.repeat(n))),
)
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 64 }).map((array) => Buffer.from(array)),
  fc.constantFrom(65_535, 65_536).map((size) => Buffer.alloc(size, 0xfe)),
)
const argument: fc.Arbitrary<CommandArgument> = fc.oneof(text, bytes, fc.integer(), fc.double({ noNaN: true }))

describe(`page (SEED=${seed})`, () => {
  it('encodes any arguments as RESP says', () => {
    fc.assert(
      fc.property(fc.array(fc.array(argument, { minLength: 1, maxLength: 6 }), { maxLength: 12 }), (commands) => {
        const page = new WirePage()
        for (const command of commands) page.add(...command)
        const encoded = wire(page)
        expect(encoded.equals(reference(commands))).toBe(true)
        expect(page.length).toBe(commands.length)
        expect(page.sizeBytes).toBe(encoded.length)
      }),
      { seed, numRuns: 400 },
    )
  })

  it('encodes addSet as the SET that it stands for', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(text, fc.oneof(text, bytes), fc.option(fc.nat()), fc.boolean()), { maxLength: 8 }),
        (sets) => {
          const page = new WirePage()
          for (const [key, value, ttlMs, nx] of sets) page.addSet(key, value, ttlMs, nx)
          const commands = sets.map(([key, value, ttlMs, nx]): CommandArgument[] => [
            'SET',
            key,
            value,
            ...(nx ? ['NX'] : []),
            ...(ttlMs === null ? [] : ['PX', ttlMs]),
          ])
          expect(wire(page).equals(reference(commands))).toBe(true)
          expect(page.length).toBe(sets.length)
          expect(page.sizeBytes).toBe(wire(page).length)
        },
      ),
      { seed, numRuns: 400 },
    )
  })

  it('can be read more than once, and added to in between', () => {
    const page = new WirePage()
    page.add('GET', 'a')
    expect(wire(page)).toEqual(wire(page))
    page.add('GET', 'b')
    expect(
      wire(page).equals(
        reference([
          ['GET', 'a'],
          ['GET', 'b'],
        ]),
      ),
    ).toBe(true)
  })
})
