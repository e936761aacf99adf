// Whether two key patterns can match the same key: then nobody could say which namespace that key belongs to.

/** One step of a pattern: a byte, any byte (`null`), any byte but the colon; `many`: any number of them. */
interface Step {
  one: number | null | 'segment'
  many: boolean
}

/**
 * Whether some key matches both. A class (`[ab]`) counts as any byte here, so that in rare cases the answer is yes too early.
 * A pattern is a glob, or a template with `{subject}`, `{version}`, `{tenant}` (one segment, no colon) and `{rest}` (anything).
 */
export function patternsOverlap(a: string, b: string): boolean {
  const left = steps(a)
  const right = steps(b)
  const seen = new Set<number>()
  const open: [number, number][] = [[0, 0]]
  const visit = (i: number, j: number) => {
    const state = i * (right.length + 1) + j
    if (!seen.has(state)) open.push([i, j])
    seen.add(state)
  }
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const [i, j] = at
    if (i === left.length && j === right.length) return true
    const x = left[i]
    const y = right[j]
    if (x?.many) visit(i + 1, j)
    if (y?.many) visit(i, j + 1)
    if (x && y && meet(x.one, y.one)) visit(x.many ? i : i + 1, y.many ? j : j + 1)
  }
  return false
}

function meet(x: Step['one'], y: Step['one']): boolean {
  if (x === null || y === null) return true
  if (x === 'segment') return y !== COLON
  return y === 'segment' ? x !== COLON : x === y
}

const COLON = 0x3a
const PLACEHOLDER = /\{(subject|version|tenant|rest)\}/

function steps(pattern: string): Step[] {
  return PLACEHOLDER.test(pattern) ? templateSteps(pattern) : globSteps(pattern)
}

function templateSteps(template: string): Step[] {
  return template.split(PLACEHOLDER).flatMap((part, index) => {
    // text and names of placeholders take turns
    if (index % 2 === 0) return literal(part)
    const one = part === 'rest' ? null : 'segment'
    return [
      { one, many: false },
      { one, many: true },
    ]
  })
}

function globSteps(glob: string): Step[] {
  const parts = glob.match(/\\.|\[\^?(?:\\.|[^\]])*\]?|./gs) ?? []
  return parts.flatMap((part): Step[] => {
    if (part === '*') return [{ one: null, many: true }]
    if (part === '?' || part.startsWith('[')) return [{ one: null, many: false }]
    return literal(part.length > 1 && part.startsWith('\\') ? part.slice(1) : part)
  })
}

function literal(text: string): Step[] {
  return Array.from(new TextEncoder().encode(text), (one) => ({ one, many: false }))
}
