// A private Redis on a unix socket: starts a real server, keeps no files, ends with the process that asked for it.
export interface EmbeddedServer {
  url: string
  pid: number
  dir: string
  stop(): Promise<void>
}

export interface EmbeddedOptions {
  args?: readonly string[]
  port?: number
  onNote?: (message: string) => void
  signal?: AbortSignal
}

export async function startServer(options: EmbeddedOptions = {}): Promise<EmbeddedServer> {
  throw new Error(`being written: ${options.port}`)
}
