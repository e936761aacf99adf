// One process of a test: its own kernel on the servers that it is told, and commands over IPC.
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { openBus } from '../../src/adapters/redis/bus.ts'
import { openStore } from '../../src/adapters/redis/store.ts'
import { createKernel } from '../../src/cache/create-kernel.ts'
import type { Load } from '../../src/cache/kernel.ts'
import { createNear } from '../../src/cache/near.ts'
import type { RedisTarget, ResolvedConfig, ResolvedNamespace } from '../../src/config/resolved.ts'
import { openKernel } from '../../src/open-kernel.ts'
import { aConfig, aNamespace } from '../resolved.ts'
import { type History, joinHistories, monotonicMs } from './history.ts'
import { latenessMs } from './lateness.ts'
import { deafen, type MutantName, mutateLane } from './mutants.ts'
import { createNaiveCache, NAIVE_NAMES, type NaiveName } from './naive-cache.ts'
import { lastRead, NAMESPACES, type Plan, placeOf, runTrial, type Tried, UNHELD } from './trial.ts'
import { type OpenedTruth, openTruth } from './truth.ts'

export interface OpenOptions {
  url: string
  /** of a second server, which every other namespace is on; null: there is one */
  otherUrl?: string | null
  /** of the server that holds the source */
  truthUrl: string
  prefix: string
  process: number
  l1: boolean
  heartbeatMs: number
  deadlineMs: number
  mutant: MutantName | NaiveName | null
}

export interface Answer {
  value: unknown
  tier: string | null
  tookMs: number
  /** of these, time in which the process could not run */
  lateMs: number
}

export interface Commands {
  open(options: OpenOptions): Promise<void>
  trials(plans: readonly Plan[]): Promise<History>
  last(plans: readonly Plan[]): Promise<History>
  /** So many callers at once of one entry, whose load takes so long, and names the tag; how often it was loaded here. */
  stampede(trial: number, callers: number, loadMs: number, tag?: string): Promise<{ loads: number; values: number }>
  /** One read, whose load takes so long, and names the tag. */
  read(trial: number, loadMs: number, tag?: string): Promise<Answer>
  /** Changes the source and invalidates: the entry, or the tag. */
  write(trial: number, tag?: string): Promise<{ status: string; version: number; tookMs: number; lateMs: number }>
  /** Bumps the subject of the trial. */
  bump(trial: number): Promise<string>
  /** Reads of this tenant for so long, each of what the tenants share by name; how many gave another tenant's value. */
  tenant(tenant: string, forMs: number, subjects: number): Promise<{ reads: number; crossed: number }>
  errors(): Promise<string[]>
  latenessMs(): Promise<number>
  close(): Promise<void>
}

const NAIVE: readonly string[] = NAIVE_NAMES
let cache: (Tried & { close(): Promise<void> }) | null = null
let truth: OpenedTruth | null = null
let opened: OpenOptions
const errors: string[] = []

function configOf({ otherUrl = null, url, prefix, l1, heartbeatMs }: OpenOptions): ResolvedConfig {
  const near = l1 ? { maxEntries: 10_000, maxBytes: 16 * 1024 * 1024 } : null
  const namespaces: Record<string, ResolvedNamespace> = {}
  for (let index = 0; index < NAMESPACES; index++)
    namespaces[`n${index}`] = aNamespace(`n${index}`, {
      l1: index === UNHELD ? null : near,
      redis: otherUrl !== null && index % 2 === 1 ? 'other' : 'default',
    })
  const config = aConfig(url, [], { prefix, namespaces, tenantLabel: 'org', heartbeatMs })
  return otherUrl === null ? config : { ...config, redis: redisOf(config, otherUrl) }
}

function redisOf({ redis, prefix, tenantLabel, namespaces }: ResolvedConfig, otherUrl: string): RedisTarget {
  const first = redis as RedisTarget
  const named = Object.values(namespaces).map(({ name, redis: server }) => ({ name, keyPattern: null, server }))
  return {
    ...first,
    named: { others: { other: { ...first, url: otherUrl } }, prefix, tenantLabel, namespaces: named },
  }
}

function openCache(options: OpenOptions): Tried & { close(): Promise<void> } {
  const { url, prefix, mutant, deadlineMs } = options
  const onError = (error: unknown) => void errors.push(String(error))
  const config = configOf(options)
  if (mutant === null) return openKernel(config, { deadlineMs, onError })
  if (NAIVE.includes(mutant)) {
    const redis = new Redis({ path: url.replace(/^unix:/, '') })
    return { ...createNaiveCache(redis, prefix, mutant as NaiveName), close: async () => redis.disconnect() }
  }
  const name = mutant as MutantName
  const target = config.redis as RedisTarget
  const timeouts = { connectTimeoutMs: 2_000, replyTimeoutMs: 2_000 }
  const store = openStore(target, timeouts)
  const servers = { masters: () => store.masters(), layout: () => store.layout(), history: () => store.history() }
  const open: Parameters<typeof deafen>[0] = (bus, listener) => openBus(target, { ...bus, ...timeouts }, listener)
  const kernel = createKernel({
    config,
    near: createNear({
      config,
      clock: Date,
      openBus: name === 'deaf L1' ? deafen(open) : open,
      report: onError,
    }),
    store: {
      ...servers,
      settling: name === 'any primary' ? () => async () => 'settled' : () => store.settling(),
      lane: async () => mutateLane(await store.lane(), name),
    },
    clock: Date,
    random: Math.random,
    counters: { count: () => {}, group: () => ({ count: () => {} }) },
    deadlineMs,
    sourceConcurrency: 64,
    production: false,
    strict: false,
    onError,
  })
  return {
    ...kernel,
    async close() {
      await kernel.close()
      await store.close()
    },
  }
}

function part() {
  if (cache === null || truth === null) throw new Error('nothing is open')
  return { cache, truth, process: opened.process, prefix: opened.prefix }
}

const POLICY = {
  ttlMs: 600_000,
  graceMs: 0,
  jitter: 0,
  compressAboveBytes: null,
  negativeTtlMs: null,
  beta: 0,
  softTimeoutMs: null,
  hardTimeoutMs: null,
  stamps: [],
  clone: false,
  check: null,
  accept: null,
} as const

const commands: Commands = {
  async open(options) {
    opened = options
    truth = openTruth(options.truthUrl)
    cache = openCache(options)
  },
  trials: async (plans) => joinHistories(await Promise.all(plans.map((plan) => runTrial(plan, part())))),
  last: async (plans) => joinHistories(await Promise.all(plans.map((plan) => lastRead(plan, part())))),
  async stampede(trial, callers, loadMs, tag) {
    const { cache } = part()
    let loads = 0
    const load: Load = async (control) => {
      loads++
      if (tag !== undefined) control.stamps([`tag:${tag}`])
      await pause(loadMs)
      return { of: trial }
    }
    const call = () => cache.load(placeOf({ trial, kind: 'key' }), POLICY, load)
    const found = await Promise.all(Array.from({ length: callers }, call))
    return { loads, values: found.filter(({ value }) => (value as { of: number }).of === trial).length }
  },
  async read(trial, loadMs, tag) {
    const { cache, truth } = part()
    const [startMs, beforeMs] = [monotonicMs(), latenessMs()]
    const { tier, value } = await cache.load(placeOf({ trial, kind: 'key' }), POLICY, async (control) => {
      const version = await truth.read(trial)
      if (tag !== undefined) control.stamps([`tag:${tag}`])
      await pause(loadMs)
      return { of: trial, version }
    })
    return { value, tier, tookMs: monotonicMs() - startMs, lateMs: latenessMs() - beforeMs }
  },
  async write(trial, tag) {
    const { cache, truth } = part()
    const version = await truth.write(trial)
    const [startMs, beforeMs] = [monotonicMs(), latenessMs()]
    const change = tag === undefined ? { entries: [placeOf({ trial, kind: 'key' })] } : { stamps: [`tag:${tag}`] }
    const { status } = await cache.invalidate(change)
    return { status, version, tookMs: monotonicMs() - startMs, lateMs: latenessMs() - beforeMs }
  },
  async bump(trial) {
    const { subject } = placeOf({ trial, kind: 'key' })
    return (await part().cache.invalidate({ scopes: [{ kind: 'subject', subject }] })).status
  },
  async tenant(tenant, forMs, subjects) {
    const { cache } = part()
    const endMs = monotonicMs() + forMs
    let reads = 0
    let crossed = 0
    const one = async (reader: number) => {
      for (let turn = reader; monotonicMs() < endMs; turn++) {
        const number = turn % subjects
        const place = { namespace: `n${number % NAMESPACES}`, subject: `s${number}`, version: '1', tenant, rest: ['1'] }
        const found = await cache.load(place, { ...POLICY, stamps: [`tag:${number}`] }, async () => {
          await pause(Math.random() * 5)
          return { tenant, number }
        })
        const value = found.value as { tenant: string; number: number }
        reads++
        if (value.tenant !== tenant || value.number !== number) crossed++
        if (turn % 17 === 0) await cache.invalidate({ entries: [place] })
        if (turn % 191 === 0) await cache.invalidate({ scopes: [{ kind: 'tenant', tenant }] })
      }
    }
    await Promise.all(Array.from({ length: 8 }, (_, reader) => one(reader)))
    return { reads, crossed }
  },
  errors: async () => errors.splice(0),
  latenessMs: async () => latenessMs(),
  async close() {
    await cache?.close()
    truth?.close()
    cache = null
    truth = null
  },
}

process.on('message', ({ id, name, args }: { id: number; name: keyof Commands; args: never[] }) => {
  const run = commands[name] as (...args: never[]) => Promise<unknown>
  run(...args).then(
    (result) => process.send?.({ id, result }),
    (error: unknown) => process.send?.({ id, error: error instanceof Error ? error.stack : String(error) }),
  )
})
process.on('unhandledRejection', (error) => {
  process.send?.({ id: -1, error: `an unhandled rejection: ${error instanceof Error ? error.stack : String(error)}` })
})
process.on('disconnect', () => process.exit())
