// A TCP proxy before a real server that misbehaves as networks do: it holds bytes back, cuts the connection, or adds bytes.
// It never drops bytes and goes on: TCP cannot do that either.
import { connect, createServer, type Socket } from 'node:net'

export interface FaultProxy {
  port: number
  /** Replies are cut after this many more bytes, and the connection with them. */
  cutAfter(bytes: number): void
  /** Nothing passes, in either direction, until `release`. */
  hold(): void
  release(): void
  /** Replies pass in pieces of this size, one a turn of the event loop. */
  slice(bytes: number): void
  /** Sends bytes of its own to the client. */
  inject(bytes: Buffer): void
  stop(): Promise<void>
}

export async function startFaultProxy(target: { port: number }): Promise<FaultProxy> {
  let cutAt = Number.POSITIVE_INFINITY
  let sliceBytes = 0
  let held = false
  const pairs: { client: Socket; server: Socket }[] = []

  const forward = async (client: Socket, server: Socket): Promise<void> => {
    for await (const bytes of server as AsyncIterable<Buffer>) {
      const passed = bytes.subarray(0, Math.min(bytes.length, cutAt))
      cutAt -= passed.length
      for (let at = 0; at < passed.length; at += sliceBytes || passed.length) {
        client.write(passed.subarray(at, at + (sliceBytes || passed.length)))
        if (sliceBytes > 0) await new Promise(setImmediate)
      }
      if (cutAt > 0) continue
      client.end()
      server.destroy()
    }
    client.end()
  }

  const proxy = createServer((client) => {
    const server = connect(target.port, '127.0.0.1')
    for (const socket of [client, server]) socket.on('error', () => {})
    client.setNoDelay(true)
    client.pipe(server)
    client.on('close', () => server.destroy())
    forward(client, server).catch(() => client.destroy())
    pairs.push({ client, server })
    if (held) pause(pairs)
  })
  proxy.listen(0, '127.0.0.1')
  await new Promise((resolve) => proxy.once('listening', resolve))

  return {
    port: (proxy.address() as { port: number }).port,
    cutAfter: (bytes) => {
      cutAt = bytes
    },
    hold: () => {
      held = true
      pause(pairs)
    },
    release: () => {
      held = false
      for (const { client, server } of pairs) {
        client.pipe(server)
        server.resume()
      }
    },
    slice: (bytes) => {
      sliceBytes = bytes
    },
    inject: (bytes) => {
      for (const { client } of pairs) client.write(bytes)
    },
    stop: async () => {
      for (const { client, server } of pairs) {
        client.destroy()
        server.destroy()
      }
      await new Promise((resolve) => proxy.close(resolve))
    },
  }
}

function pause(pairs: readonly { client: Socket; server: Socket }[]): void {
  for (const { client, server } of pairs) {
    client.unpipe(server)
    client.pause()
    server.pause()
  }
}
