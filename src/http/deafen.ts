// A response that no longer listens to its handler: what it sets when the answer is settled changes nothing, and is no error to it.
import type { ServerResponse } from 'node:http'

const SETTERS = ['writeHead', 'setHeader', 'setHeaders', 'appendHeader', 'removeHeader', 'flushHeaders'] as const

/** @param ours whether it is the cache that calls */
export function deafen(res: ServerResponse, ours: () => boolean): void {
  for (const name of SETTERS) {
    const original = res[name] as (...args: unknown[]) => unknown
    res[name] = ((...args: unknown[]) => (ours() ? original.apply(res, args) : res)) as never
  }
}
