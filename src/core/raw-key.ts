// Keys of other software, as a raw namespace declares them: a glob, or a template `{subject}:v{version}:{rest}`.
import { compileGlob } from './pattern.ts'

export interface RawKey {
  subject: string | null
  version: string | null
  tenant: string | null
  rest: string | null
}

const PLACEHOLDER = /\{(subject|version|tenant|rest)\}/g
const NOTHING: RawKey = { subject: null, version: null, tenant: null, rest: null }

/** A reader of such keys: their parts, or null for a key of another form. */
export function compileRawKey(keyPattern: string): (key: Buffer) => RawKey | null {
  if (!/\{(subject|version|tenant|rest)\}/.test(keyPattern)) {
    const matches = compileGlob(keyPattern)
    return (key) => (matches(key) ? NOTHING : null)
  }
  let source = ''
  let from = 0
  for (const match of keyPattern.matchAll(PLACEHOLDER)) {
    source += `${literal(keyPattern.slice(from, match.index))}(?<${match[1]}>${match[1] === 'rest' ? '[^]+' : '[^:]+?'})`
    from = match.index + match[0].length
  }
  const form = new RegExp(`^${source}${literal(keyPattern.slice(from))}$`)
  return (key) => {
    const parts = form.exec(key.toString('utf8'))?.groups
    return parts === undefined ? null : { ...NOTHING, ...parts }
  }
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')
}
