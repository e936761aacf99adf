// A response as it is stored: one line of JSON for status and headers, then the bytes of the body. No base64, and nothing to parse but the line.

/** Names as the handler wrote them; a header of several values is there several times. */
export type HeaderList = readonly (readonly [name: string, value: string])[]

export interface Captured {
  status: number
  headers: HeaderList
  /** headers (in lower case) that were there before the handler ran, and that it took away */
  removed: readonly string[]
  body: Buffer
}

const NEWLINE = 0x0a

export function pack({ status, headers, removed, body }: Captured): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify({ http: 1, status, headers, removed })}\n`), body])
}

/** Null: it is no response of this form. Never throws. */
export function unpack(value: unknown): Captured | null {
  if (!Buffer.isBuffer(value)) return null
  const end = value.indexOf(NEWLINE)
  if (end < 0) return null
  try {
    const head = JSON.parse(value.toString('utf8', 0, end)) as Partial<Captured> & { http?: unknown }
    const { http, status, headers, removed } = head
    if (http !== 1 || typeof status !== 'number' || !Array.isArray(headers) || !Array.isArray(removed)) return null
    return { status, headers: headers as HeaderList, removed, body: value.subarray(end + 1) }
  } catch {
    return null
  }
}

/** All values of a header, in their order. `name` is in lower case. */
export function valuesOf(headers: HeaderList, name: string): string[] {
  return headers.filter(([own]) => own.toLowerCase() === name).map(([, value]) => value)
}

export function headerOf(headers: HeaderList, name: string): string | undefined {
  return headers.find(([own]) => own.toLowerCase() === name)?.[1]
}
