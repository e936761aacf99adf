// Whether keys were read from replicas, from which, and how far these were behind: what a walk with `--replica` owes to whoever reads its figures.
import type { Lane, Master, Reply } from '../ports.ts'
import type { OperationContext } from './context.ts'

export interface ReadFrom {
  /** of the store's masters */
  master: string
  /** null: none of its replicas is in step, so it answered itself */
  replica: string | null
  /** bytes of the primary's history that the replica had not read when the walk began, at most; null where either does not say */
  lagBytes: number | null
}

/** Of the lane that reads the keys of this master; it was asked to be one to a replica. */
export async function readFrom(
  { store }: Pick<OperationContext, 'store'>,
  master: Master,
  lane: Lane,
): Promise<ReadFrom> {
  const replica = lane.replica ?? null
  if (replica === null) return { master: master.id, replica, lagBytes: null }
  const page = lane.page()
  page.add('INFO', 'replication')
  const [own = null] = await lane.run(page)
  const answers = await store.callEach('INFO', 'replication')
  // Behind the replica's answer: what is written between the two makes the lag larger, never smaller.
  const written = offsetOf(answers.find((answer) => answer.master === master.id)?.reply ?? null, 'master_repl_offset')
  const read = offsetOf(own, 'slave_repl_offset')
  return {
    master: master.id,
    replica,
    lagBytes: written === null || read === null ? null : Math.max(0, written - read),
  }
}

function offsetOf(info: Reply, field: string): number | null {
  const text = Buffer.isBuffer(info) ? info.toString() : typeof info === 'string' ? info : ''
  const value = new RegExp(`^${field}:(\\d+)`, 'm').exec(text)?.[1]
  return value === undefined ? null : Number(value)
}
