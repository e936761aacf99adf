// Keys read back: what one says, or null for anything that building never writes. Runs over millions of keys.
import { isToken } from './control-key.ts'
import { decodeRest, digestIn } from './key-rest.ts'
import { decodeText } from './key-text.ts'

/** What a key says, in plain text. */
export interface EntryAddress {
  namespace: string
  subject: string
  /** `1`, or with a version of the model's own `1.2` */
  version: string
  tenant: string | null
  /** decoded segments; of list pages and parameters as `listRest` and `parameterSegments` give them */
  rest: readonly string[]
}

export interface ParsedKey extends EntryAddress {
  tokens: KeyTokens
  /** set, without `#`, where the rest was too long and only its digest is in the key; `rest` is [] then */
  digest: string | null
}

export interface KeyTokens {
  readonly global: string | null
  readonly namespace: string | null
  readonly subject: string | null
  readonly tenant: string | null
  readonly tenantSubject: string | null
}

/** `1`, or with a version of the model's own `1.2` */
export const VERSION = /^(?:0|[1-9]\d{0,14})(?:\.(?:0|[1-9]\d{0,14}))?$/

/** Heads repeat from key to key; a keyspace with more different ones than this is parsed without the help of its memory. */
const HEAD_MEMORY = 4096

type Head = Pick<ParsedKey, 'version' | 'namespace' | 'subject' | 'tokens'>

/** A parser of keys that begin with `start` (`shop:v`); `label` is the tenant label as it stands in keys. */
export function createKeyParser(start: string, label: string | null): (key: string | Uint8Array) => ParsedKey | null {
  const headOf = rememberHeads()
  return (key) => {
    const text = typeof key === 'string' ? key : utf8Text(key)
    if (text === null || !text.startsWith(start)) return null
    const headEnd = afterColons(text, start.length, 3)
    if (headEnd === 0) return null
    const head = headOf(text.slice(start.length, headEnd - 1))
    return head && parseTail(text.slice(headEnd), head, label)
  }
}

/** Position behind the n-th colon from `from` on; 0 where there are fewer. */
function afterColons(text: string, from: number, n: number): number {
  let at = from
  for (let i = 0; i < n; i++) {
    at = text.indexOf(':', at) + 1
    if (at === 0) return 0
  }
  return at
}

function utf8Text(bytes: Uint8Array): string | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString('utf8')
  return text.includes('\uFFFD') && !Buffer.from(text).equals(buffer) ? null : text
}

function rememberHeads(): (text: string) => Head | null {
  const known = new Map<string, Head | null>()
  return (text) => {
    let head = known.get(text)
    if (head === undefined) {
      head = parseHead(text)
      if (known.size >= HEAD_MEMORY) known.clear()
      known.set(text, head)
    }
    return head
  }
}

/** `1.2~g:list~n:product~s` */
function parseHead(text: string): Head | null {
  const [version, namespace, subject] = text.split(':').map(splitToken)
  if (!version || !namespace || !subject || !VERSION.test(version.text)) return null
  const namespaceText = decodeText(namespace.text)
  const subjectText = decodeText(subject.text)
  if (namespaceText === null || subjectText === null) return null
  return {
    version: version.text,
    namespace: namespaceText,
    subject: subjectText,
    tokens: {
      global: version.token,
      namespace: namespace.token,
      subject: subject.token,
      tenant: null,
      tenantSubject: null,
    },
  }
}

function splitToken(segment: string): { text: string; token: string | null } | null {
  const tilde = segment.indexOf('~')
  if (tilde < 0) return { text: segment, token: null }
  const token = segment.slice(tilde + 1)
  return isToken(token) ? { text: segment.slice(0, tilde), token } : null
}

/** What follows the head: the tenant, if the label begins it, and the rest. */
function parseTail(text: string, head: Head, label: string | null): ParsedKey | null {
  if (label === null || !text.startsWith(label) || text.charCodeAt(label.length) !== 0x5f) {
    return withRest(head, null, head.tokens, text, label)
  }
  const end = text.indexOf(':')
  if (end < 0) return null
  const segment = text.slice(label.length + 1, end)
  const tilde = segment.indexOf('~')
  const tenant = decodeText(tilde < 0 ? segment : segment.slice(0, tilde))
  const tokens = tilde < 0 ? head.tokens : tenantTokens(segment.slice(tilde + 1), head.tokens)
  if (tenant === null || tokens === null) return null
  return withRest(head, tenant, tokens, text.slice(end + 1), null)
}

function withRest(
  head: Head,
  tenant: string | null,
  tokens: KeyTokens,
  text: string,
  guardLabel: string | null,
): ParsedKey | null {
  const digest = digestIn(text)
  const rest = digest === null ? decodeRest(text, guardLabel) : []
  if (rest === null) return null
  const { namespace, subject, version } = head
  return { namespace, subject, version, tenant, rest, tokens, digest }
}

/** `tenant`, `~tenantSubject` or `tenant~tenantSubject` */
function tenantTokens(text: string, tokens: KeyTokens): KeyTokens | null {
  const tilde = text.indexOf('~')
  const tenant = tilde < 0 ? text : text.slice(0, tilde) || null
  const tenantSubject = tilde < 0 ? null : text.slice(tilde + 1)
  if ((tenant !== null && !isToken(tenant)) || (tenantSubject !== null && !isToken(tenantSubject))) return null
  return { ...tokens, tenant, tenantSubject }
}
