// What each master is set to: by CONFIG GET, or by INFO where that is refused.
import { parseInfo } from '../core/info-text.ts'
import { printable } from '../core/printable.ts'
import { isErrorReply } from '../core/reply.ts'
import { CONFIG_PATTERNS, type Settings, settingsOfConfig, settingsOfInfo } from '../core/server-policy.ts'
import type { Lane, Master, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'

export interface Refusal {
  /** first word of the error reply: `NOPERM`, `ERR` */
  code: string
  /** escaped */
  message: string
}

export interface MasterSettings {
  master: string
  settings: Settings
  /** `info`: CONFIG GET was refused, and INFO does not say everything */
  source: 'config' | 'info'
  refusal: Refusal | null
  /** INFO; empty where that is refused, too */
  fields: ReadonlyMap<string, string>
}

/** @throws CachectlError where a master cannot be asked */
export async function readSettings(context: OperationContext): Promise<MasterSettings[]> {
  const read: MasterSettings[] = []
  for (const master of await context.store.masters())
    read.push(await withLane(master, (lane) => readMaster(master.id, lane)))
  return read
}

export async function withLane<T>(master: Master, use: (lane: Lane) => Promise<T>): Promise<T> {
  const lane = await master.lane()
  try {
    return await use(lane)
  } finally {
    lane.close()
  }
}

export async function readMaster(id: string, lane: Lane): Promise<MasterSettings> {
  const page = lane.page()
  for (const pattern of CONFIG_PATTERNS) page.add('CONFIG', 'GET', pattern)
  page.add('INFO')
  const replies = await lane.run(page)
  const fields = parseInfo(textOf(replies.at(-1)))
  const answers = replies.slice(0, CONFIG_PATTERNS.length)
  const refused = answers.find(isErrorReply)
  const settings = settingsOfConfig(answers.flatMap(pairsOf))
  // A service that lets CONFIG GET through and answers nothing has refused it, too.
  if (settings.size > 0) return { master: id, settings, source: 'config', refusal: null, fields }
  const refusal = refused ? refusalOf(refused) : { code: 'ERR', message: 'CONFIG GET answers nothing' }
  return { master: id, settings: settingsOfInfo(fields), source: 'info', refusal, fields }
}

export function refusalOf({ error, code }: { error: string; code: string }): Refusal {
  // Servers repeat the arguments of what they do not know.
  const text = error.replace(/,? with args beginning with.*$/is, '').slice(0, 300)
  return { code: printable(code), message: printable(text) }
}

function pairsOf(reply: Reply): [string, string][] {
  const flat = Array.isArray(reply) ? (reply as readonly Reply[]).map(textOf) : []
  const pairs: [string, string][] = []
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i] as string, flat[i + 1] as string])
  return pairs
}

function textOf(reply: Reply | undefined): string {
  return Buffer.isBuffer(reply) ? reply.toString() : typeof reply === 'string' ? reply : ''
}
