// A few questions on a connection that nobody else has yet, before a client takes it over.
import type { Socket } from 'node:net'
import type { CommandArgument, Reply } from '../../ports.ts'
import { WirePage } from './page.ts'
import { ReplyFormatError, ReplyParser } from './reply-parser.ts'

const MAX_REPLY_BYTES = 4 * 1024 * 1024

/**
 * One reply a command; error replies are values. Nothing unread is left on the socket.
 * @throws what the socket failed with, ReplyFormatError, the signal's reason
 */
export async function askOn(
  socket: Socket,
  commands: readonly (readonly CommandArgument[])[],
  signal: AbortSignal,
): Promise<readonly Reply[]> {
  const page = new WirePage()
  for (const command of commands) page.add(...command)
  const replies: Reply[] = []
  const settled = new AbortController()
  try {
    return await new Promise<readonly Reply[]>((resolve, reject) => {
      const parser = new ReplyParser((reply) => {
        if (replies.push(reply) === commands.length) resolve(replies)
      }, MAX_REPLY_BYTES)
      const hear = (bytes: Buffer): void => {
        try {
          parser.push(bytes)
        } catch (error) {
          reject(error)
        }
      }
      const end = (error?: unknown): void =>
        reject(error instanceof Error ? error : new ReplyFormatError('the end of the connection'))
      socket.on('data', hear)
      for (const event of ['error', 'end', 'close']) socket.on(event, end)
      signal.addEventListener('abort', () => reject(signal.reason), { signal: settled.signal })
      settled.signal.addEventListener('abort', () => {
        socket.pause()
        socket.off('data', hear)
        for (const event of ['error', 'end', 'close']) socket.off(event, end)
      })
      signal.throwIfAborted()
      socket.resume()
      for (const chunk of page.chunks()) socket.write(chunk, 'latin1')
    })
  } finally {
    settled.abort()
  }
}
