// What `doctor` asks each master about itself: how fast it answers, its clock, replicas, clients, slow log, other databases.

import type { CheckedFacts } from '../core/findings/facts.ts'
import { LARGE_BUFFER_BYTES, REPLICA_BEHIND } from '../core/findings/server-rules.ts'
import { percentileOf } from '../core/histogram.ts'
import { numberField, parseInfo } from '../core/info-text.ts'
import { printable } from '../core/printable.ts'
import { isErrorReply } from '../core/reply.ts'
import { formatBytes, formatDuration } from '../core/units.ts'
import type { Clock, Lane, Reply, Store } from '../ports.ts'
import { NotMade } from './doctor-checks.ts'

const PINGS = 100
/** A server far away is asked less often. */
const PING_WITHIN_MS = 2_000
const SLOWLOG_ENTRIES = 128
const HOUR_S = 3600
const COMMAND_CHARACTERS = 80

/** One master, with a connection to it. */
export interface OpenedMaster {
  id: string
  lane: Lane
}

/** INFO of one master; empty where the user may not ask. */
export interface MasterInfo {
  id: string
  fields: ReadonlyMap<string, string>
}

export async function readInfos(store: Store): Promise<MasterInfo[]> {
  const replies = await store.callEach('INFO', 'everything')
  return replies.map(({ master, reply }) => ({
    id: printable(master),
    fields: parseInfo(Buffer.isBuffer(reply) ? reply.toString() : ''),
  }))
}

async function run(lane: Lane, ...command: readonly string[]): Promise<Reply> {
  const page = lane.page()
  page.add(...command)
  return (await lane.run(page))[0] ?? null
}

/** Of the slowest master. */
export async function pingMasters(
  masters: readonly OpenedMaster[],
  signal: AbortSignal,
): Promise<NonNullable<CheckedFacts['latency']>> {
  const measured: NonNullable<CheckedFacts['latency']>[] = []
  for (const { id, lane } of masters) {
    const tookMs: number[] = []
    const beganMs = performance.now()
    while (tookMs.length < PINGS && !signal.aborted) {
      const sentMs = performance.now()
      if (tookMs.length > 0 && sentMs - beganMs > PING_WITHIN_MS) break
      await run(lane, 'PING')
      tookMs.push(performance.now() - sentMs)
    }
    tookMs.sort((a, b) => a - b)
    const [p50Ms, p99Ms] = [percentileOf(tookMs, 0.5) ?? 0, percentileOf(tookMs, 0.99) ?? 0]
    measured.push({ server: printable(id), pings: tookMs.length, p50Ms, p99Ms })
  }
  const [slowest] = measured.sort((a, b) => b.p99Ms - a.p99Ms)
  if (slowest === undefined) throw new NotMade('there is no server that takes writes')
  return slowest
}

/** Of the master whose clock differs most; what may be the way there and back is no difference. */
export async function compareClocks(
  masters: readonly OpenedMaster[],
  clock: Clock,
): Promise<NonNullable<CheckedFacts['clock']>> {
  let worst: NonNullable<CheckedFacts['clock']> | null = null
  for (const { id, lane } of masters) {
    const sentMs = clock.now()
    const reply = await run(lane, 'TIME')
    const heardMs = clock.now()
    if (!Array.isArray(reply)) throw new NotMade(refusal('TIME', reply))
    const [seconds = 0, micros = 0] = reply.map(Number)
    const serverMs = seconds * 1000 + micros / 1000
    // A clock of whole milliseconds may have ticked a moment ago.
    const skewMs = serverMs > heardMs + 1 ? serverMs - heardMs : serverMs < sentMs ? serverMs - sentMs : 0
    if (worst === null || Math.abs(skewMs) > Math.abs(worst.skewMs)) worst = { server: printable(id), skewMs }
  }
  if (worst === null) throw new NotMade('there is no server that takes writes')
  return worst
}

export function replicationOf(infos: readonly MasterInfo[]): {
  facts: NonNullable<CheckedFacts['replication']>
  replicas: number
} {
  const behind: string[] = []
  const cutOff: string[] = []
  const alone: string[] = []
  let replicas = 0
  for (const { id, fields } of infos) {
    if (fields.get('master_link_status') === 'down') cutOff.push(`${id} has lost its primary`)
    const offset = numberField(fields, 'master_repl_offset')
    const before = replicas
    for (const [name, text] of fields) {
      if (!/^slave\d+$/.test(name)) continue
      replicas++
      const lag = lagOf(text, offset)
      if (lag !== null) behind.push(`${lag} (of ${id})`)
    }
    if (replicas > before && writesAlone(fields)) alone.push(`${id}, which has ${formatReplicas(replicas - before)}`)
  }
  return { facts: { behind, cutOff, alone }, replicas }
}

/** A master of a Cluster stops by itself when it is cut off. The server counts good replicas only where it is told how many it needs. */
function writesAlone(fields: ReadonlyMap<string, string>): boolean {
  const isPrimary = fields.get('role') === 'master' && fields.get('cluster_enabled') !== '1'
  return isPrimary && !fields.has('min_slaves_good_slaves')
}

const formatReplicas = (count: number): string => (count === 1 ? 'one replica' : `${count} replicas`)

/** `ip=10.0.0.7,port=6379,state=online,offset=1234,lag=0`; null: it is in step. */
function lagOf(text: string, masterOffset: number | null): string | null {
  const fields = new Map(text.split(',').map((part) => part.split('=', 2) as [string, string]))
  const name = printable(`${fields.get('ip')}:${fields.get('port')}`)
  const state = fields.get('state') ?? 'unknown'
  if (state !== 'online') return `replica ${name} is ${printable(state)}`
  const lagSeconds = Number(fields.get('lag'))
  if (lagSeconds >= REPLICA_BEHIND.seconds)
    return `replica ${name} was last heard of ${formatDuration(lagSeconds * 1000)} ago`
  const bytes = masterOffset === null ? 0 : masterOffset - Number(fields.get('offset'))
  return bytes >= REPLICA_BEHIND.bytes ? `replica ${name} has ${formatBytes(bytes)} to catch up` : null
}

/** `db0:keys=12,expires=3,avg_ttl=0`, but for the selected one. */
export function otherDatabases(infos: readonly MasterInfo[], selected: number): NonNullable<CheckedFacts['databases']> {
  const keys = new Map<string, number>()
  for (const { fields } of infos)
    for (const [name, text] of fields) {
      const [, database] = /^db(\d+)$/.exec(name) ?? []
      const count = Number(/^keys=(\d+)/.exec(text)?.[1] ?? 0)
      if (database !== undefined && Number(database) !== selected && count > 0)
        keys.set(database, (keys.get(database) ?? 0) + count)
    }
  return { others: [...keys].map(([database, count]) => ({ database, keys: count })) }
}

/** Clients with much that they have not read; replicas have their own check. */
export async function largeBuffers(
  store: Store,
): Promise<{ facts: NonNullable<CheckedFacts['clients']>; clients: number }> {
  const buffers: { client: string; bytes: number }[] = []
  let clients = 0
  for (const { reply } of await store.callEach('CLIENT', 'LIST')) {
    if (isErrorReply(reply)) throw new NotMade(refusal('CLIENT LIST', reply))
    for (const line of String(reply ?? '')
      .split('\n')
      .filter(Boolean)) {
      clients++
      const fields = new Map(line.split(' ').map((part) => part.split(/=(.*)/s, 2) as [string, string]))
      const bytes = Number(fields.get('omem'))
      if (!(bytes >= LARGE_BUFFER_BYTES) || /[SM]/.test(fields.get('flags') ?? '')) continue
      buffers.push({ client: printable(`${fields.get('name') ?? ''} ${fields.get('addr') ?? ''}`.trim()), bytes })
    }
  }
  return { facts: { buffers: buffers.sort((a, b) => b.bytes - a.bytes) }, clients }
}

/** Entries of the last hour, by the server's own clock; with a prefix, of commands that name one of its keys. */
export async function slowCommands(store: Store, prefix: string | null): Promise<NonNullable<CheckedFacts['slowlog']>> {
  const [entries, times] = [await store.callEach('SLOWLOG', 'GET', SLOWLOG_ENTRIES), await store.callEach('TIME')]
  const found: { ms: number; command: string }[] = []
  entries.forEach(({ reply }, index) => {
    if (!Array.isArray(reply)) throw new NotMade(refusal('SLOWLOG GET', reply))
    const time = times[index]?.reply
    const nowS = Array.isArray(time) ? Number(time[0]) : Number.NaN
    for (const entry of reply as readonly Reply[]) {
      const [, at, micros, args] = entry as readonly Reply[]
      // A clock that the user may not ask for makes all of them count.
      if (Number(at) < nowS - HOUR_S || !Array.isArray(args)) continue
      const words = (args as readonly Reply[]).map(String)
      if (prefix !== null && !words.some((word) => isOf(prefix, word))) continue
      found.push({ ms: Number(micros) / 1000, command: shortened(words) })
    }
  })
  found.sort((a, b) => b.ms - a.ms)
  return { entries: found.length, slowest: found[0] ?? null }
}

const isOf = (prefix: string, word: string): boolean => word.startsWith(`${prefix}:`) || word.startsWith(`${prefix}~`)

function shortened(words: readonly string[]): string {
  const text = printable(words.join(' '))
  return text.length > COMMAND_CHARACTERS ? `${text.slice(0, COMMAND_CHARACTERS)}…` : text
}

export function refusal(command: string, reply: Reply | undefined): string {
  return isErrorReply(reply)
    ? `${command} is refused: ${printable(reply.error)}`
    : `${command} was not answered as expected`
}
