// One request for each way of caching. What is measured, and what the tests ask.
export interface Route {
  path: string
  /** what answers it */
  by: string
  headers?: Record<string, string>
  /** what a DELETE of makes the next request a miss (`/cache`) */
  forget?: string
}

const north = { 'x-org': 'north' }
const ada = { 'x-customer': '7' }

export const ROUTES: readonly Route[] = [
  { path: '/products/42', by: 'model: a row with its category' },
  { path: '/products?category=IN', by: 'model: a list and its count' },
  { path: '/basket?ids=1,2,3,5,8,13,21,34,55,89', by: 'model: ten rows by getMany' },
  { path: '/category-names', by: 'model in L1: a list' },
  { path: '/bestsellers?page=1', by: 'http.express' },
  { path: '/categories', by: 'http.resource' },
  { path: '/account', by: 'http.express, by customer', headers: ada },
  { path: '/shelf/CN', by: 'fragment', headers: ada },
  { path: '/permissions', by: 'fn', headers: ada },
  { path: '/rates/USD', by: '@cached: an external API' },
  { path: '/till/42', by: 'raw namespace', forget: '/till/42' },
  { path: '/org/orders', by: 'model of a tenant', headers: north },
  { path: '/org/dashboard', by: 'getOrSet, of a tenant', headers: north },
  { path: '/org/report?year=2025', by: 'fn: a report, of a tenant', headers: north },
]
