// A network between a process and Redis in which everything takes its time, each way.
import { connect, createServer, type Socket } from 'node:net'

export interface SlowLink {
  /** `unix:…` */
  readonly url: string
  close(): Promise<void>
}

/** @param target `unix:…` */
export async function startSlowLink(target: string, path: string, latencyMs: number): Promise<SlowLink> {
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(target.replace(/^unix:/, ''))
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('data', (bytes) => setTimeout(() => to.writable && to.write(bytes), latencyMs))
      from.on('error', () => {})
      from.on('close', () => {
        sockets.delete(from)
        setTimeout(() => to.destroy(), latencyMs)
      })
    }
  })
  server.listen(path)
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    url: `unix:${path}`,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
