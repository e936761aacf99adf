// The network between one process and Redis: it can be cut, silent, and lead to another server.
import { connect, createServer, type Socket } from 'node:net'

export interface TestProxy {
  /** `unix:…` */
  readonly url: string
  /** Ends all connections, and refuses new ones until `heal`. */
  cut(): void
  /** Nothing passes until `heal`, and nobody is told. */
  hang(): void
  /** What is sent arrives, and no answer comes back, on the connections that there are. */
  mute(): void
  /** New connections lead to this socket from now on; those that there are end. */
  lead(socket: string): void
  heal(): void
  close(): Promise<void>
}

export async function startProxy(path: string, target: string): Promise<TestProxy> {
  let socketPath = target.replace(/^unix:/, '')
  let state: 'open' | 'cut' | 'hung' = 'open'
  const sockets = new Set<Socket>()
  const end = () => {
    for (const socket of sockets) socket.destroy()
  }
  const server = createServer((near) => {
    if (state === 'cut') return near.destroy()
    const far = connect(socketPath)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      if (state === 'hung') from.unpipe().pause()
    }
    pairs.push([near, far])
  })
  const pairs: [Socket, Socket][] = []
  server.listen(path)
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    url: `unix:${path}`,
    cut() {
      state = 'cut'
      end()
    },
    hang() {
      state = 'hung'
      for (const socket of sockets) socket.unpipe().pause()
    },
    mute() {
      for (const [near, far] of pairs) far.unpipe(near).pause()
    },
    lead(socket) {
      socketPath = socket.replace(/^unix:/, '')
      end()
    },
    heal() {
      state = 'open'
      for (const [near, far] of pairs.splice(0)) {
        if (near.destroyed || far.destroyed) continue
        pairs.push([near, far])
        near.unpipe().pipe(far)
        far.unpipe().pipe(near)
      }
    },
    async close() {
      end()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
