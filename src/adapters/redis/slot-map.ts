// Which node of a Cluster owns which slots, as CLUSTER SLOTS says it, and what later replies have taught.
import { CachectlError } from '../../core/errors.ts'
import { SLOTS } from '../../core/key-slot.ts'
import type { Reply } from '../../ports.ts'
import { endpointOfAddress } from './url.ts'

export interface NodeAddress {
  endpoint: string
  host: string
  port: number
}

const UNOWNED = 0xffff

export class SlotMap {
  readonly #owners = new Uint16Array(SLOTS).fill(UNOWNED)
  readonly #nodes: NodeAddress[] = []

  /** Undefined where nobody serves the slot. */
  owner(slot: number): NodeAddress | undefined {
    return this.#nodes[this.#owners[slot] as number]
  }

  /** From now on the slots from `first` to `last` are this node's. */
  assign(first: number, last: number, node: NodeAddress): void {
    let index = this.#nodes.findIndex(({ endpoint }) => endpoint === node.endpoint)
    if (index < 0) index = this.#nodes.push(node) - 1
    this.#owners.fill(index, first, last + 1)
  }

  /** Those that own slots, by their first slot. */
  masters(): readonly NodeAddress[] {
    return [...new Set(this.#owners)].flatMap((index) => this.#nodes[index] ?? [])
  }
}

/** @param asked who gave the table: a node that does not know its own address leaves it out */
export function readSlotMap(table: readonly Reply[], asked: { host: string; endpoint: string }): SlotMap {
  const map = new SlotMap()
  for (const range of table) {
    const [first, last, node] = range as readonly [number, number, readonly Reply[]]
    const [host, port] = node
    const name = host === null ? '' : String(host)
    if (name === '?') throw unknownEndpoint(asked.endpoint)
    const address = { host: name === '' ? asked.host : name, port: Number(port), path: null }
    map.assign(first, last, { ...address, endpoint: endpointOfAddress(address) })
  }
  return map
}

export interface Redirection {
  kind: 'MOVED' | 'ASK'
  slot: number
  node: NodeAddress
}

/** Where the reply says that the key is; null for any other reply. `asked` is the host that gave it. */
export function readRedirection(error: string, asked: string): Redirection | null {
  const [, kind, slot, host = '', port] = /^(MOVED|ASK) (\d+) (.*):(\d+)$/.exec(error) ?? []
  if (kind === undefined) return null
  const address = { host: host === '' ? asked : host, port: Number(port), path: null }
  return {
    kind: kind as Redirection['kind'],
    slot: Number(slot),
    node: { ...address, endpoint: endpointOfAddress(address) },
  }
}

function unknownEndpoint(endpoint: string): CachectlError {
  return new CachectlError(
    'REDIS_UNREACHABLE',
    `the Cluster of ${endpoint} does not say where one of its nodes is (its endpoint is \`?\`)`,
    {
      hint: 'set cluster-announce-hostname on each node, or cluster-preferred-endpoint-type ip',
    },
  )
}
