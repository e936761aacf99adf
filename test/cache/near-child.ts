// A process with L1, driven by its parent: reads on request, or all the time, and says how late it last gave each value.
import { setImmediate as turn } from 'node:timers/promises'
import { type NearReader, openReader, type ReaderOptions } from './near-reader.ts'

export type Request =
  | { id: number; do: 'open'; url: string; options: ReaderOptions }
  | { id: number; do: 'read'; names: readonly string[] }
  | { id: number; do: 'spin'; names: readonly string[]; readers: number }
  | { id: number; do: 'history' }
  | { id: number; do: 'trusted' }
  | { id: number; do: 'close' }

/** When each value of each name was last asked for and given, in ms since the epoch; and how many of the answers were of L1. */
export interface History {
  last: Record<string, Record<string, number>>
  fromL1: number
  reads: number
}

let reader: NearReader | null = null
let spinning = false
const history: History = { last: {}, fromL1: 0, reads: 0 }

async function spin(names: readonly string[]): Promise<void> {
  while (spinning && reader !== null) {
    const name = names[Math.floor(Math.random() * names.length)] as string
    const askedAt = Date.now()
    try {
      const { tier, value } = await reader.read(name)
      history.reads++
      if (tier === 'l1') history.fromL1++
      history.last[name] ??= {}
      ;(history.last[name] as Record<string, number>)[String(value)] = askedAt
      if (tier === 'l1') await turn()
    } catch {
      // its connection was cut
      await reader.reattach().catch(() => {})
    }
  }
}

async function answer(request: Request): Promise<unknown> {
  switch (request.do) {
    case 'open':
      reader = await openReader(request.url, request.options)
      return null
    case 'read':
      return Promise.all(request.names.map((name) => reader?.read(name)))
    case 'spin':
      spinning = true
      for (let index = 0; index < request.readers; index++) void spin(request.names)
      return null
    case 'history':
      spinning = false
      return history
    case 'trusted':
      return reader?.near.trusted()
    case 'close':
      spinning = false
      await reader?.close()
      return null
  }
}

process.on('message', (request: Request) => {
  answer(request).then(
    (result) => process.send?.({ id: request.id, result }),
    (error) => process.send?.({ id: request.id, error: String(error) }),
  )
})
process.on('disconnect', () => process.exit())
