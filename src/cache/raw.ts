// Raw namespaces: plain JSON under keys of other software, without envelope. One load at a time in this process; nothing guards against other writers.
import type { ResolvedNamespace } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { plainJson, readPlainJson } from '../core/plain-json.ts'
import { checkAs } from './call-options.ts'
import type { Kernel, Policy } from './kernel.ts'
import { createLoadControl, policyFor, runLoader } from './load-control.ts'
import { asLoad, type CallOptions, type LoaderContext, namespaceOf, policyOf } from './policy.ts'
import { createRawReader, type RawKeyInput, type RawPlace, type RawReader, rawPlace } from './raw-place.ts'
import type { Surface } from './surface.ts'

export type RawOptions = Pick<CallOptions, 'ttl' | 'jitter' | 'negativeTtl' | 'schema' | 'clone' | 'timeout'> & {
  /** of reads: gives `{ hit, value, tier }` instead of the value */
  as?: 'hit'
}
const HONOURED: readonly string[] = [
  'ttl',
  'jitter',
  'negativeTtl',
  'schema',
  'clone',
  'timeout',
  'as',
] satisfies (keyof RawOptions)[]
const KNOWN = { hint: `raw namespaces know ${HONOURED.join(', ')}` }

/** Of raw namespaces. While Redis is away, reads are misses, `getOrSet` loads, and `set` says false; `delete` rejects, for nobody would repeat it. */
export interface Raw {
  /** undefined: not there, or no JSON */
  get(namespace: string, key: RawKeyInput, options?: RawOptions): Promise<unknown>
  has(namespace: string, key: RawKeyInput): Promise<boolean>
  /** False: not written (no version in Redis, Redis away, null without `negativeTtl`). @throws CachectlError USAGE for what plain JSON cannot hold */
  set(namespace: string, key: RawKeyInput, value: unknown, options?: RawOptions): Promise<boolean>
  /** Whether it was there. @throws CachectlError where Redis is away */
  delete(namespace: string, key: RawKeyInput): Promise<boolean>
  getOrSet(
    namespace: string,
    key: RawKeyInput,
    loader: (context: LoaderContext) => unknown,
    options?: RawOptions,
  ): Promise<unknown>
}

/** What a flight came to: the value as JSON, so that each caller gets one of its own; null: the loader's value itself. */
interface Landed {
  json: string | null
  value: unknown
  loaded: boolean
}

interface Shared {
  reader: RawReader
  flights: Map<string, Promise<Landed>>
}

interface Call {
  kernel: Kernel
  shared: Shared
  place: RawPlace
  policy: Policy
}

/** Handles of one kernel share their flights. */
const SHARED = new WeakMap<Kernel, Shared>()
const NEVER = new AbortController().signal

export function createRaw(surface: Surface): Raw {
  const begin = (name: string, key: RawKeyInput, options: RawOptions = {}): Call => {
    const { kernel } = surface
    const namespace = namespaceOf(kernel.config, name)
    refuseOptions(namespace, options)
    return {
      kernel,
      shared: sharedOf(kernel),
      place: rawPlace(namespace, key, surface.tenant()),
      policy: policyOf(namespace, options),
    }
  }
  return {
    get: async (namespace, key, options) => {
      const { found } = await find(begin(namespace, key, options))
      if (options?.as !== 'hit') return found?.value
      return found === null ? { hit: 'miss', value: undefined, tier: null } : { hit: 'fresh', ...found, tier: 'l2' }
    },
    has: async (namespace, key) => (await find(begin(namespace, key))).found !== null,
    set: async (namespace, key, value, options) => store(begin(namespace, key, options), value),
    delete: async (namespace, key) => remove(begin(namespace, key)),
    getOrSet: async (namespace, key, loader, options) => {
      const call = begin(namespace, key, options)
      const { flights } = call.shared
      const { id } = call.place
      let flight = flights.get(id)
      if (flight === undefined) {
        const begun: Promise<Landed> = fetch(call, loader, surface.tenant(), () => flights.get(id) === begun)
        flight = begun
        flights.set(id, begun)
        const end = () => flights.get(id) === begun && flights.delete(id)
        begun.then(end, end)
      }
      const { json, loaded, ...landed } = await flight
      const value = json === null ? landed.value : JSON.parse(json)
      if (options?.as !== 'hit') return value
      return loaded ? { hit: 'miss', value, tier: 'source' } : { hit: 'fresh', value, tier: 'l2' }
    },
  }
}

function sharedOf(kernel: Kernel): Shared {
  let shared = SHARED.get(kernel)
  if (shared === undefined) {
    shared = { reader: createRawReader(kernel), flights: new Map() }
    SHARED.set(kernel, shared)
  }
  return shared
}

function refuseOptions({ name }: ResolvedNamespace, options: RawOptions): void {
  if (typeof options !== 'object' || options === null)
    throw new CachectlError('USAGE', `the options of an entry of ${name} are no object`, KNOWN)
  checkAs(options.as)
  const given = Object.entries(options).find(([option, value]) => value !== undefined && !HONOURED.includes(option))
  if (given) throw new CachectlError('USAGE', `\`${given[0]}\` has no meaning in ${name}, which is raw`, KNOWN)
}

interface Looked {
  /** null: it is not known where to write */
  key: string | null
  found: { value: unknown } | null
}

/** What is there and is good. Never rejects: what goes wrong is a miss, reported and counted. */
async function find({ kernel, shared, place, policy }: Call): Promise<Looked> {
  try {
    const { key, bytes } = await shared.reader.read(place)
    const read = Buffer.isBuffer(bytes) ? readPlainJson(bytes) : null
    if (read === null && bytes !== null)
      report(kernel, place, new CachectlError('USAGE', `the value of ${key} is no JSON`, { hint: NO_JSON }))
    const found = read === null || policy.check === null ? read : await policy.check(read.value)
    kernel.counters.count(found === null ? 'miss' : 'l2', place.counted)
    return { key, found }
  } catch (error) {
    report(kernel, place, error)
    kernel.counters.count('miss', place.counted)
    return { key: null, found: null }
  }
}

const NO_JSON = 'let the other software write JSON, or narrow the `key` of the namespace'

/** Reads, else loads, and writes what was loaded unless it was deleted or set here meanwhile. */
async function fetch(
  call: Call,
  loader: (context: LoaderContext) => unknown,
  tenant: string | null,
  current: () => boolean,
): Promise<Landed> {
  const { kernel, place, policy } = call
  // the version is the one before the load: what was loaded before a bump is written where nobody looks
  const { key, found } = await find(call)
  // what a schema made of it need not be JSON
  if (found !== null)
    return { json: policy.check === null ? JSON.stringify(found.value) : null, value: found.value, loaded: false }
  const beganMs = performance.now()
  const { value, said } = await runLoader(
    async (signal) => {
      const { control, told } = createLoadControl(signal, null)
      const loaded = await asLoad(loader, tenant)(control)
      if (told.stamps.length > 0 || told.graceMs !== undefined)
        throw new CachectlError(
          'USAGE',
          `an entry of ${place.counted.namespace}, which is raw, has no tags and no grace`,
        )
      // JSON has no undefined
      return { value: loaded, said: loaded === undefined ? null : policyFor(policy, told, loaded) }
    },
    policy.hardTimeoutMs,
    NEVER,
  )
  kernel.counters.count('load', place.counted, 1, performance.now() - beganMs)
  if (said === null) return { json: null, value, loaded: true }
  const json = encode(call, value)
  if (json !== null && key !== null && current()) await write(call, key, json, said)
  return { json, value, loaded: true }
}

async function store(call: Call, value: unknown): Promise<boolean> {
  const { kernel, shared, place, policy } = call
  const said = policyFor(policy, createLoadControl(NEVER, null).told, value)
  const json = said === null ? null : encode(call, value)
  if (said === null || json === null) return false
  shared.flights.delete(place.id)
  try {
    const key = await shared.reader.key(place)
    if (key === null) kernel.counters.count('refused', place.counted)
    return key !== null && (await write(call, key, json, said))
  } catch (error) {
    report(kernel, place, error)
    return false
  }
}

async function remove({ kernel, shared, place }: Call): Promise<boolean> {
  shared.flights.delete(place.id)
  const key = await shared.reader.key(place)
  if (key === null) return false
  return Number(await kernel.command('UNLINK', key)) > 0
}

/** Null: it cannot be stored, which is counted, and thrown outside production. */
function encode({ kernel, place }: Call, value: unknown): string | null {
  try {
    return plainJson(value)
  } catch (error) {
    kernel.counters.count('uncacheable', place.counted)
    if (!kernel.production) throw error
    kernel.report(error)
    return null
  }
}

async function write({ kernel, place }: Call, key: string, json: string, { ttlMs, jitter }: Policy): Promise<boolean> {
  const lifetime = ttlMs === null ? [] : ['PX', Math.max(1, Math.round(ttlMs * (1 - jitter * kernel.random())))]
  try {
    await kernel.command('SET', key, json, ...lifetime)
    kernel.counters.count('set', place.counted)
    return true
  } catch (error) {
    report(kernel, place, error)
    return false
  }
}

function report(kernel: Kernel, place: RawPlace, error: unknown): void {
  kernel.counters.count('error', place.counted)
  kernel.report(error)
}
