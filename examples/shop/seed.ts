// The shop's data: a city map for each of the most populous cities of the world (GeoNames), in a category by country; orders of two organisations.
import pg from 'pg'
import { readCities } from '../../demo/cities.js'

export interface Amounts {
  products: number
  orders: number
}

// In a project of your own, `prisma migrate` makes these of schema.prisma.
const TABLES = `
  create table category (id text primary key, name text not null, updated_at timestamptz not null default now());
  create table product (
    id int primary key, name text not null, category_id text not null references category,
    price int not null, stock int not null, sales int not null, cost int not null,
    updated_at timestamptz not null default now());
  create table customer (id int primary key, name text not null, role text not null);
  create table orders (
    id serial primary key, org text not null, product_id int not null references product,
    quantity int not null, total int not null,
    placed_at timestamptz not null default now(), updated_at timestamptz not null default now());
`

// Prices from 5 to 25, by latitude; sales and stock by population: the same in every run.
const PRODUCTS = `
  insert into product (id, name, category_id, price, stock, sales, cost)
  select n, 'Map of ' || name, country, 500 + (abs(latitude) * 22)::int, 100 + population / 50000, population / 1000, 300
  from json_to_recordset($1) as city(n int, name text, country text, latitude float, population int)`

const ORDERS = `
  insert into orders (org, product_id, quantity, total, placed_at, updated_at)
  select org, p.id, quantity, quantity * p.price, placed, placed
  from (select n, case when n % 3 = 0 then 'south' else 'north' end as org, 1 + (n::bigint * n * 7919) % $2 as product_id,
      1 + n % 4 as quantity, timestamptz '2025-01-01' + n * interval '9 minutes' as placed
    from generate_series(1, $1::int) n) o
  join product p on p.id = o.product_id`

const INDEXES = `
  create index on product (category_id, sales desc);
  create index on product (sales desc, id);
  create index on orders (org, id desc);
  analyze;
`

export async function seed(databaseUrl: string, amounts: Amounts): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  const cities = (readCities() as { name: string; country: string; latitude: number; population: number }[])
    .sort((a, b) => b.population - a.population)
    .slice(0, amounts.products)
    .map((city, index) => ({ ...city, n: index + 1 }))
  const countryName = new Intl.DisplayNames('en', { type: 'region' })
  const categories = [...new Set(cities.map(({ country }) => country))].map((id) => ({ id, name: countryName.of(id) }))

  await client.query(TABLES)
  await client.query(
    'insert into category (id, name) select id, name from json_to_recordset($1) as c(id text, name text)',
    [JSON.stringify(categories)],
  )
  await client.query(PRODUCTS, [JSON.stringify(cities)])
  await client.query(ORDERS, [amounts.orders, amounts.products])
  await client.query(`insert into customer values (7, 'Ada', 'clerk'), (8, 'Grace', 'manager')`)
  await client.query(INDEXES)
  await client.end()
}
