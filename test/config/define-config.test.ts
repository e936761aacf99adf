import { describe, expect, expectTypeOf, it } from 'vitest'
import { type Config, defineConfig } from '../../src/config/define-config.ts'
import type { Source } from '../../src/ports.ts'

const source: Source = { kind: 'test', reads: 'page', strategies: ['all'], async *select() {} }

describe('defineConfig', () => {
  it('gives the config back as it is', () => {
    const config = { prefix: 'shop' }
    expect(defineConfig(config)).toBe(config)
  })

  it('keeps the names of models, namespaces and label', () => {
    const config = defineConfig({
      prefix: 'shop',
      tenant: { label: 'org' },
      namespaces: { list: { ttl: '5m' }, user_data: { ttl: 'never' } },
      models: {
        product: { source, namespace: 'user_data', related: ['category'], ttl: (row) => (row.sales > 8 ? '5m' : '2h') },
        category: { source: null },
      },
    })
    expectTypeOf(config).toEqualTypeOf<Config<'product' | 'category', 'list' | 'user_data', 'org'>>()
  })

  it('has no names where there are none, and is a Config whatever its names', () => {
    const config = defineConfig({ prefix: 'shop' })
    expectTypeOf(config).toEqualTypeOf<Config<never, never, never>>()
    expectTypeOf(config).toExtend<Config>()
    expectTypeOf(defineConfig({ prefix: 'shop', models: { a: { source } } })).toExtend<Config>()
  })

  // What is marked here must not compile: `npm run check` fails where one of these lines does.
  it('refuses at compile time what is wrong', () => {
    // @ts-expect-error the prefix is required
    defineConfig({})
    // @ts-expect-error a bare number is no duration
    defineConfig({ prefix: 'a', defaults: { ttl: 300 } })
    // @ts-expect-error an unknown unit
    defineConfig({ prefix: 'a', defaults: { ttl: '5 minutes' } })
    // @ts-expect-error 'never' is for namespaces and models
    defineConfig({ prefix: 'a', defaults: { ttl: 'never' } })
    // @ts-expect-error an unknown option
    defineConfig({ prefix: 'a', namespace: {} })
    // @ts-expect-error an unknown option of a model
    defineConfig({ prefix: 'a', models: { a: { source, list: {} } } })
    // @ts-expect-error a namespace that is not declared
    defineConfig({ prefix: 'a', namespaces: { x: {} }, models: { a: { source, namespace: 'y' } } })
    // @ts-expect-error a model that is not there
    defineConfig({ prefix: 'a', models: { a: { source, related: ['b'] } } })
    // @ts-expect-error a model that is not there, joined
    defineConfig({ prefix: 'a', models: { a: { source, join: { other: { model: 'b', on: 'b_id' } } } } })
    // @ts-expect-error no source
    defineConfig({ prefix: 'a', models: { a: {} } })
    // @ts-expect-error a policy of the server that there is not
    defineConfig({ prefix: 'a', server: { policy: 'lru' } })
    // @ts-expect-error sizes have units
    defineConfig({ prefix: 'a', budget: { maxMemory: 512 } })
    defineConfig({
      prefix: 'a',
      models: { a: { source, namespace: 'detail', lists: { all2: { namespace: 'list' } } } },
    })
    defineConfig({
      prefix: 'a',
      redis: process.env.REDIS_URL,
      budget: { maxMemory: '512MB' },
      defaults: { ttl: '1h30m' },
    })
  })
})
