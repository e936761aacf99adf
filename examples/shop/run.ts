// `npm run example`: starts all that the shop needs, measures it, tries it, and stops everything. `-- --serve` keeps it up until Ctrl-C.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measure, table } from './measure.ts'
import { seed } from './seed.ts'
import { startServers } from './servers.ts'
import { type Shop, startShop } from './shop-process.ts'
import { tour } from './tour.ts'

const { values } = parseArgs({
  options: {
    serve: { type: 'boolean', default: false },
    products: { type: 'string', default: '5000' },
    orders: { type: 'string', default: '40000' },
    rounds: { type: 'string', default: '50' },
  },
})
const amounts = { products: Number(values.products), orders: Number(values.orders) }
const file = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const say = (text = '') => console.log(text)
const step = (title: string) => say(`\n── ${title} ${'─'.repeat(Math.max(3, 74 - title.length))}`)

const stops: (() => Promise<unknown>)[] = []
const stopped = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopped.abort())

async function shopWith(env: Record<string, string>): Promise<Shop> {
  const shop = await startShop(env)
  stops.push(shop.stop)
  return shop
}

/** A command as a person would type it. */
async function type(env: Record<string, string>, ...args: string[]): Promise<void> {
  say(`$ cachectl ${args.join(' ')}`)
  const all = [file('../../bin/cachectl.js'), '--config', file('cache.config.ts'), ...args]
  const child = spawn(process.execPath, all, { stdio: 'inherit', env: { ...process.env, ...env } })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`cachectl ${args.join(' ')} ended with exit code ${code}`)
}

async function run(): Promise<void> {
  step('1 of 4  A shop')
  const { env } = await startServers((stop) => stops.push(stop))
  await seed(env.DATABASE_URL, amounts)
  const [shop, uncached] = await Promise.all([shopWith(env), shopWith({ ...env, SHOP_CACHE: 'off' })])
  say(
    `${amounts.products} products and ${amounts.orders} orders in PostgreSQL, a Redis, and two processes of the shop:`,
  )
  say('one with its cache, one without.')

  step('2 of 4  What caching saves')
  const { routes, nothingMs } = await measure(shop, uncached, Number(values.rounds))
  say(table(routes))
  say('\nMilliseconds, the median of requests one after another. A miss loads and writes the entry.')
  say(`Of each, ${nothingMs.toFixed(2)} ms are HTTP and Express, as GET /health takes them.`)

  step('3 of 4  What must hold')
  await tour(shop, say)

  step('4 of 4  The same cache from the command line')
  await shop.stop() // what is counted is sent every ten seconds, and at the end
  await type(env, 'warm')
  await type(env, 'stats')

  if (values.serve) return serve(env, uncached)
  step('Next')
  say(
    'Read examples/shop/catalogue.ts first. `npm run example -- --serve` keeps the shop up, to try it with curl and cachectl.',
  )
}

async function serve(env: Record<string, string>, uncached: Shop): Promise<void> {
  const shop = await shopWith(env)
  step('Yours to try')
  say(`  export REDIS_URL='${env.REDIS_URL}'`)
  say(`  export DATABASE_URL='${env.DATABASE_URL}'`)
  say(`  curl -i '${shop.url}/bestsellers?page=1'`)
  say(`  curl -H 'x-org: north' ${shop.url}/org/dashboard`)
  say(`  curl ${uncached.url}/products/42        # the same shop without its cache`)
  say('  cd examples/shop                      # where cache.config.ts is')
  say('  npx cachectl warm')
  say('  npx cachectl keys product --limit 5')
  say('  npx cachectl why shop:v1:detail:product:42')
  say('\nCtrl-C stops everything.')
  await once(stopped.signal, 'abort')
}

const interrupted = new Promise((resolve) => stopped.signal.addEventListener('abort', resolve))
try {
  await Promise.race([run(), interrupted])
} catch (error) {
  if (!stopped.signal.aborted) {
    console.error(error)
    process.exitCode = 1
  }
}
for (const stop of stops.reverse()) await stop()
if (stopped.signal.aborted && !values.serve) process.exitCode = 130
process.exit()
