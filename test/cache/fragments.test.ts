// cache.fragment over a real Redis.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { aNamespace } from '../resolved.ts'
import { startRedis, type TestRedis } from '../servers.ts'
import { closeSurfaces, openSurfaces } from './open-surfaces.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(async () => {
  await closeSurfaces()
  await redis.stop()
})
beforeEach(async () => {
  await closeSurfaces()
  await redis.call('FLUSHALL')
})

test('text is rendered once for its parts, in every process', async () => {
  let renders = 0
  const header = (cache: ReturnType<typeof openSurfaces>, userId: number | string) =>
    cache.fragment('header', [userId, { lang: 'de' }], () => `<h1>${typeof userId} ${++renders} ü</h1>`)
  const [one, other] = [openSurfaces(redis.url), openSurfaces(redis.url)]
  expect(await header(one, 7)).toBe('<h1>number 1 ü</h1>')
  expect(await header(other, 7)).toBe('<h1>number 1 ü</h1>')
  expect(await header(one, '7')).toBe('<h1>string 2 ü</h1>')
  await expect
    .poll(async () => ((await redis.call('KEYS', 'shop:*')) as Buffer[]).map(String).sort())
    .toEqual(["shop:v1:fragment:@frag.header:'7':(lang=de)", 'shop:v1:fragment:@frag.header:7:(lang=de)'])
})

test('bytes are a Buffer on a miss and on a hit; the empty text is text', async () => {
  const { fragment } = openSurfaces(redis.url)
  const bytes = new Uint8Array([0, 1, 2, 250, 251]).subarray(1, 4)
  const png = () => fragment('png', [], async () => bytes)
  for (const image of [await png(), await png()]) {
    expect(Buffer.isBuffer(image)).toBe(true)
    expect([...image]).toEqual([1, 2, 250])
  }
  let renders = 0
  const empty = () => fragment('empty', [], () => ''.repeat(renders++))
  expect([await empty(), await empty(), renders]).toEqual(['', '', 1])
})

test('it goes by its parts, by its name, by tags that it or its renderer names', async () => {
  const cache = openSurfaces(redis.url)
  let renders = 0
  const header = (id: number) =>
    cache.fragment(
      'header',
      [id],
      ({ tags }) => {
        tags(`user:${id}`)
        return `${++renders}`
      },
      { tags: ['design'] },
    )
  expect([await header(1), await header(2), await header(1)]).toEqual(['1', '2', '1'])
  await cache.fragment.invalidate('header', [1])
  expect([await header(1), await header(2)]).toEqual(['3', '2'])
  await cache.invalidateTag('user:2')
  expect([await header(1), await header(2)]).toEqual(['3', '4'])
  await cache.invalidateTag('design')
  expect([await header(1), await header(2)]).toEqual(['5', '6'])
  await cache.fragment.invalidateAll('header')
  expect([await header(1), await header(2)]).toEqual(['7', '8'])
})

test('tenants have fragments of their own', async () => {
  const cache = openSurfaces(redis.url)
  const of = (tenant: string) => cache.tenant(tenant).fragment('menu', [], () => tenant)
  expect([await of('1'), await of('2'), await of('1')]).toEqual(['1', '2', '1'])
  await cache.tenant('1').fragment.invalidateAll('menu')
  expect(await cache.tenant('2').fragment('menu', [], () => 'new')).toBe('2')
  expect(await cache.tenant('1').fragment('menu', [], () => 'new')).toBe('new')
})

test('validateWith, as for functions', async () => {
  const { fragment } = openSurfaces(redis.url)
  const page = { body: 'a', updatedAt: 1 }
  const render = () => fragment('page', [7], () => page.body, { validateWith: () => page.updatedAt })
  expect(await render()).toBe('a')
  page.body = 'b'
  expect(await render()).toBe('a')
  page.updatedAt = 2
  expect(await render()).toBe('b')
})

test('what is neither text nor bytes is refused, and so is a namespace that is not declared', async () => {
  const { fragment, kernel } = openSurfaces(redis.url)
  for (const [bad, what] of [
    [null, 'null'],
    [undefined, 'of type undefined'],
    [7, 'of type number'],
    [{ html: '' }, 'of type object'],
    [new ArrayBuffer(1), 'of type object'],
    [['<p>'], 'of type object'],
  ] as const) {
    await expect(fragment('bad', [], () => bad as never)).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(
        `the fragment bad was rendered as ${what === 'null' ? what : `a value ${what}`}`,
      ),
    })
  }
  expect(await kernel.command('KEYS', 'shop:v1:*')).toEqual([])
  await expect(fragment('x', [], () => 'x', { namespace: 'pages' })).rejects.toThrow('no namespace called `pages`')
  await expect(fragment('', [], () => 'x')).rejects.toThrow('the id is empty')
  await expect(fragment('x', 7 as never, () => 'x')).rejects.toThrow('are no list')
  await expect(fragment('x', [() => 1], () => 'x')).rejects.toThrow('argument 1 of the fragment x is a function')
  await expect(fragment('x', [], 'html' as never)).rejects.toThrow('no render function')
})

test('another namespace, which the config declares', async () => {
  const { fragment } = openSurfaces(redis.url, { namespaces: { pages: aNamespace('pages') } })
  const page = (html: string) => fragment('page', [7], () => html, { namespace: 'pages' })
  expect([await page('a'), await page('b')]).toEqual(['a', 'a'])
  await fragment.invalidate('page', [7], { namespace: 'pages' })
  expect(await page('c')).toBe('c')
})
