// The demo's database: PostgreSQL in this process (PGlite), filled with the cities of the world, made at its first use.
import { PGlite } from '@electric-sql/pglite'
import { seedCities } from './cities.js'

/** A config file is loaded as a module graph of its own; what it and the demo share lives here. */
const shared = /** @type {{ [key: symbol]: Promise<PGlite> | undefined }} */ (globalThis)
const DATABASE = Symbol.for('cachectl.demo.database')

/** One database a process, however often it is asked for. @returns {Promise<PGlite>} */
export function openDemoDatabase() {
  shared[DATABASE] ??= create()
  return shared[DATABASE]
}

async function create() {
  const database = await PGlite.create()
  await seedCities((text, values) => database.query(text, values))
  return database
}
