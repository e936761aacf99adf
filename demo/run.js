// `npm run demo`: a private Redis, the cities of the world, a warmed cache, its statistics. `-- --keep` leaves Redis running.
import { startServer } from '../dist/adapters/redis/embedded.js'
import { systemIo } from '../dist/cli/io.js'
import { run } from '../dist/cli/program.js'
import { openDemoDatabase } from './database.js'

const keep = process.argv.includes('--keep')
const say = (/** @type {string} */ text = '') => process.stdout.write(`${text}\n`)
const step = (/** @type {string} */ title, /** @type {string} */ text) =>
  say(`\n── ${title} ${'─'.repeat(Math.max(3, 74 - title.length))}\n${text}\n`)

/** Runs one command as a person would type it. @param {string[]} argv */
async function type(...argv) {
  say(`$ cachectl ${argv.join(' ')}`)
  const exitCode = await run(argv, systemIo())
  if (exitCode !== 0) throw new Error(`cachectl ${argv[0]} ended with exit code ${exitCode}`)
}

step('1 of 4  A private Redis', 'Listens on a unix socket that only you can open, keeps no files.')
const server = await startServer({ detach: keep, onNote: (/** @type {string} */ note) => say(note) })
process.env.REDIS_URL = server.url
try {
  say(`${server.url} (process ${server.pid})`)

  step(
    '2 of 4  A database',
    'PostgreSQL in this process (PGlite), filled with 135,000 real cities. Takes some seconds.',
  )
  const startedMs = Date.now()
  const database = await openDemoDatabase()
  const { rows } = await database.query(
    'select (select count(*) from city) as cities, (select count(*) from country) as countries',
  )
  const [{ cities, countries }] = /** @type {{ cities: number, countries: number }[]} */ (rows)
  say(`${cities} cities in ${countries} countries, in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`)

  step(
    '3 of 4  Warm the cache',
    'Loads what cache.config.ts declares: the most populous cities with their countries, lists, counts.',
  )
  await type('warm')

  step('4 of 4  Look at it', 'What is cached now, by namespace and model, and whether it is healthy.')
  await type('stats')

  say()
  await type('get', 'world:v1:detail:city:2950159')
  say('\nThat is Berlin, as your application would read it.')
  if (keep) {
    step('Yours to try', 'Redis keeps running. In another terminal:')
    say(`  export REDIS_URL=${server.url}`)
    say('  npx cachectl stats --by model')
    say('  npx cachectl keys city --limit 5')
    say('  npx cachectl why world:v1:detail:city:2950159')
    say('  npx cachectl warm country --refresh')
    say(`\nStop it with:  kill ${server.pid}`)
  } else {
    step('Next', 'Redis stops now. Run it again with `npm run demo -- --keep` to keep it and try:')
    say('  npx cachectl stats --by model      npx cachectl keys city --limit 5')
    say('  npx cachectl why world:v1:detail:city:2950159')
    say('\nIn your own project:  npx cachectl init')
  }
} finally {
  if (!keep) await server.stop()
  const database = await openDemoDatabase()
  if (!database.closed) await database.close()
}
