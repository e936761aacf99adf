// What compiles of functions, methods and fragments, and what does not. Checked by `npm run types`; never run.
import type { Fragment } from '../../src/cache/fragments.ts'
import type { CachedFunction, Functions } from '../../src/cache/functions.ts'
import { cached, cachedMethod, type Methods } from '../../src/cache/methods.ts'

type Namespace = 'detail' | 'user_data'
declare const cache: Functions<Namespace> & Methods<Namespace> & { fragment: Fragment<Namespace> }

interface User {
  id: number
  name: string
  sales: number
}
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const holds = <T extends true>(_?: T): void => {}

async function getUser(id: number, withRoles = false): Promise<User> {
  return { id, name: String(withRoles), sales: 1 }
}

export async function functions() {
  const getIt = cache.fn('user_data', getUser, {
    ttl: (user, id) => (user.sales > id ? '5m' : 'never'),
    tags: (user) => [`user:${user.id}`],
    skip: (user, _id, withRoles) => user.name === '' || withRoles === true,
    key: (id, withRoles) => [id, String(withRoles)],
    validateWith: async (id) => new Date(id),
    timeout: { soft: '200ms', hard: '2s' },
  })
  holds<Equal<typeof getIt, CachedFunction<[id: number, withRoles?: boolean | undefined], User>>>()
  holds<Equal<Awaited<ReturnType<typeof getIt>>, User>>()
  holds<Equal<Awaited<ReturnType<typeof getIt.get>>, User | undefined>>()
  await getIt(7)
  await getIt(7, true)
  // @ts-expect-error: the id is a number
  await getIt('7')
  // @ts-expect-error: there are arguments to be named
  await getIt.invalidate()
  // @ts-expect-error: and they are the function's
  await getIt.refresh(7, true, 1)

  const sync = cache.fn('detail', (text: string) => text.length, { name: 'lengthOf' })
  holds<Equal<Awaited<ReturnType<typeof sync>>, number>>()
  const maybe = cache.fn('detail', async (_: string): Promise<User | null> => null, {
    name: 'maybe',
    ttl: (user) => (user.sales > 1 ? '1m' : '2m'),
  })
  holds<Equal<Awaited<ReturnType<typeof maybe>>, User | null>>()

  // @ts-expect-error: no such namespace
  cache.fn('usr_data', getUser)
  // @ts-expect-error: a duration has a unit
  cache.fn('user_data', getUser, { ttl: 60 })
  // @ts-expect-error: nor is this one
  cache.fn('user_data', getUser, { ttl: '5 minutes' })
  // @ts-expect-error: the result has no price
  cache.fn('user_data', getUser, { ttl: (user) => (user.price > 1 ? '1m' : '2m') })
  // @ts-expect-error: an object is no key
  cache.fn('user_data', getUser, { key: (id) => ({ id }) })
  // @ts-expect-error: tags are a list
  cache.fn('user_data', getUser, { tags: 'user' })
  // @ts-expect-error: true is no version
  cache.fn('user_data', getUser, { validateWith: () => true })
  // @ts-expect-error: outside of loads there is none
  cache.context().ttl('5m')
  cache.context()?.ttl('5m')
}

export class Users {
  readonly table = 'users'
  readonly size = () => 1

  @cache.cached('user_data', { ttl: '1h' })
  async byId(id: number): Promise<User> {
    return getUser(id)
  }

  @cached(() => cache, 'detail', {
    key(this: Users, id: number) {
      return [this.table, id]
    },
    ttl: (user: User) => (user.sales > 1 ? '1m' : '2m'),
  })
  async keyed(id: number, _reason: string): Promise<User> {
    return getUser(id)
  }

  // @ts-expect-error: the method gives no promise
  @cache.cached('user_data')
  now(): number {
    return 1
  }

  // @ts-expect-error: the key is made of a number, the method takes text
  @cache.cached('user_data', { key: (id: number) => id })
  async byName(name: string): Promise<string> {
    return name
  }

  // @ts-expect-error: the TTL looks at a user, the method gives text
  @cache.cached('user_data', { ttl: (user: User) => (user.sales > 1 ? '1m' : '2m') })
  async nameOf(name: string): Promise<string> {
    return name
  }

  // @ts-expect-error: no such namespace
  @cached(() => cache, 'usr_data')
  async wrong(id: number): Promise<number> {
    return id
  }
}

export async function methods(users: Users) {
  const byId = cachedMethod(users, 'byId')
  holds<Equal<typeof byId, CachedFunction<[id: number], User>>>()
  await byId.invalidate(7)
  // @ts-expect-error: the id is a number
  await byId.invalidate('7')
  // @ts-expect-error: this one gives no promise
  cachedMethod(users, 'size')
  // @ts-expect-error: this is no method
  cache.method('user_data', users, 'table')
  const keyed = cache.method('user_data', users, 'keyed', { ttl: (user, id) => (user.sales > id ? '1m' : '2m') })
  holds<Equal<Awaited<ReturnType<typeof keyed>>, User>>()
  // @ts-expect-error: no such namespace
  cache.method('usr_data', users, 'keyed')
}

export async function fragments() {
  const html = await cache.fragment('header', [7], ({ ttl }) => {
    ttl('5m')
    return '<h1>'
  })
  holds<Equal<typeof html, string>>()
  const png = await cache.fragment('avatar', [7, { size: 32 }], async () => new Uint8Array(1), { namespace: 'detail' })
  holds<Equal<typeof png, Buffer>>()
  // @ts-expect-error: neither text nor bytes
  await cache.fragment('header', [7], () => 7)
  // @ts-expect-error: no such namespace
  await cache.fragment('header', [7], () => '', { namespace: 'pages' })
}
