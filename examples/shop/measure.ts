// How long each route takes without a cache, on a miss and on a hit: the median over some requests, one after another, over HTTP.
import { performance } from 'node:perf_hooks'
import { ROUTES, type Route } from './routes.ts'
import type { Shop } from './shop-process.ts'

const HEALTH: Route = { path: '/health', by: 'nothing' }

export interface Measured {
  route: Route
  uncachedMs: number
  missMs: number
  hitMs: number
}

/** `uncached`: the same shop with its cache off. `nothingMs`: what any request takes, by HTTP, Express and the client. */
export async function measure(
  shop: Shop,
  uncached: Shop,
  rounds: number,
): Promise<{ routes: Measured[]; nothingMs: number }> {
  const routes: Measured[] = []
  const nothing: number[] = []
  for (const route of ROUTES) {
    // Some rounds first, so that connections stand and code is compiled.
    for (let round = 0; round < Math.min(rounds, 10); round++)
      for (const each of [shop, uncached]) await time(each, route)
    const times = { uncached: [] as number[], miss: [] as number[], hit: [] as number[] }
    for (let round = 0; round < rounds; round++) {
      nothing.push(await time(shop, HEALTH))
      times.uncached.push(await time(uncached, route))
      await shop.ask('DELETE', route.forget ?? '/cache')
      times.miss.push(await time(shop, route))
      await time(shop, route) // the first hit finds cold code and the write still under way
      times.hit.push(await time(shop, route))
    }
    routes.push({
      route,
      uncachedMs: median(times.uncached),
      missMs: median(times.miss),
      hitMs: median(times.hit),
    })
  }
  return { routes, nothingMs: median(nothing) }
}

export function table(measured: readonly Measured[]): string {
  const rows = measured.map(({ route, uncachedMs, missMs, hitMs }) => [
    `GET ${route.path}`,
    route.by,
    uncachedMs.toFixed(2),
    missMs.toFixed(2),
    hitMs.toFixed(2),
    `${(uncachedMs / hitMs).toFixed(1)}x`,
  ])
  const all = [['route', 'by', 'uncached', 'miss', 'hit', 'faster'], ...rows]
  const widths = (all[0] as string[]).map((_, column) => Math.max(...all.map((row) => (row[column] as string).length)))
  const line = (row: string[]) =>
    row.map((cell, at) => (at < 2 ? cell.padEnd(widths[at] as number) : cell.padStart(widths[at] as number))).join('  ')
  return all.map(line).join('\n')
}

async function time(shop: Shop, { path, headers }: Route): Promise<number> {
  const startedMs = performance.now()
  const { status, text } = await shop.ask('GET', path, { ...(headers ? { headers } : {}) })
  const tookMs = performance.now() - startedMs
  if (status !== 200) throw new Error(`GET ${path} answered ${status}: ${text}`)
  return tookMs
}

function median(numbers: number[]): number {
  return numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)] as number
}
