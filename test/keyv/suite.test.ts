// The published suite of Keyv, whole, on our adapter over a real Redis.
import keyvTestSuite, { keyvIteratorTests } from '@keyv/test-suite'
import Keyv from 'keyv'
import * as test from 'vitest'
import { afterAll, beforeAll } from 'vitest'
import { createCache } from '../../src/create-cache.ts'
import { KeyvCachectl } from '../../src/keyv.ts'
import { startRedis, type TestRedis } from '../servers.ts'

const open = (url: string) =>
  createCache(
    {
      redis: url,
      prefix: 'shop',
      namespaces: { plain: { ttl: '10m' }, forever: { ttl: 'never' }, near: { ttl: '10m', l1: true } },
    },
    { deadline: '5s' },
  )

let redis: TestRedis
let cache: ReturnType<typeof open>
beforeAll(async () => {
  redis = await startRedis()
  cache = open(redis.url)
})
afterAll(async () => {
  await cache.close()
  await redis.stop()
})

test.describe.each(['plain', 'forever', 'near'] as const)('in a namespace %s', (namespace) => {
  const store = () => new KeyvCachectl({ cache, namespace })
  keyvTestSuite(test, Keyv, store)
  keyvIteratorTests(test, Keyv, store)
})
