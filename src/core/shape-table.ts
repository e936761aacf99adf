// What was counted of each shape, in bounded memory: where names vary too much they are folded into `*` and their counts merged.
import { printable } from './printable.ts'
import { createShaper, hashBytes, isMinorSeparator, isSeparator, STAR } from './shape.ts'

/** More shapes than this are folded at once; what cannot be folded goes to one rest. */
const MOST_SHAPES = 4096

/** Siblings that are few keys each are one kind of thing from this many on. */
const FEW_SIBLINGS = 16
/** From this many siblings on only those with a share of their own stay. */
const MANY_SIBLINGS = 200
const OWN_SHARE = 0.01

export interface ShapeTable<T> {
  /** What is counted for keys of this shape. Ask again for each key: a fold replaces what was given before. */
  at(key: Uint8Array): T
  /** The final shapes, as globs that match their keys, heaviest first; `null` for the rest that had no shape in common. */
  finish(): { pattern: string | null; value: T }[]
}

/** How the table makes, joins and weighs what it counts. */
export interface Counting<T> {
  create(): T
  merge(into: T, from: T): void
  weight(value: T): number
}

interface Entry<T> {
  bytes: Uint8Array
  value: T
  next: Entry<T> | null
}

interface Node<T> {
  /** by token and the separator behind it */
  children: Map<string, Node<T>>
  value: T | null
  weight: number
}

export function createShapeTable<T>(counting: Counting<T>): ShapeTable<T> {
  const shaper = createShaper()
  const folds = new Map<number, Set<number>>()
  let entries = new Map<number, Entry<T>>()
  let size = 0
  let rest: T | null = null

  const find = (hash: number, bytes: Uint8Array, length: number): Entry<T> | null => {
    let entry = entries.get(hash) ?? null
    while (entry !== null && !sameBytes(entry.bytes, bytes, length)) entry = entry.next
    return entry
  }

  const insert = (hash: number, bytes: Uint8Array, value: T): void => {
    entries.set(hash, { bytes, value, next: entries.get(hash) ?? null })
    size++
  }

  const fold = (pressure: number): void => {
    const root = grow(list(entries), counting)
    foldNode(root, '', Math.max(3, root.weight * 1e-4), pressure, folds, counting)
    entries = new Map()
    size = 0
    emitNode(root, '', (shape, value) => {
      const bytes = Buffer.from(shape, 'latin1')
      const hash = hashBytes(bytes, 0, bytes.length)
      const present = find(hash, bytes, bytes.length)
      if (present === null) insert(hash, bytes, value)
      else counting.merge(present.value, value)
    })
  }

  const makeRoom = (): void => {
    for (let pressure = 0; pressure < 3 && size > MOST_SHAPES / 2; pressure++) fold(pressure)
    if (size <= MOST_SHAPES / 2) return
    const byWeight = list(entries).sort((a, b) => counting.weight(b.value) - counting.weight(a.value))
    entries = new Map()
    size = 0
    rest ??= counting.create()
    for (const [index, { bytes, value }] of byWeight.entries()) {
      if (index < MOST_SHAPES / 4) insert(hashBytes(bytes, 0, bytes.length), bytes, value)
      else counting.merge(rest, value)
    }
  }

  return {
    at(key) {
      const hash = shaper.shape(key, folds)
      const present = find(hash, shaper.bytes, shaper.length)
      if (present !== null) return present.value
      if (size >= MOST_SHAPES) {
        makeRoom()
        return this.at(key)
      }
      const value = counting.create()
      insert(hash, shaper.bytes.slice(0, shaper.length), value)
      return value
    },
    finish() {
      for (let before = -1; before !== size; ) {
        before = size
        fold(0)
      }
      const byPattern = new Map<string | null, T>()
      for (const { bytes, value } of list(entries)) {
        const pattern = patternText(bytes)
        const present = byPattern.get(pattern)
        if (present === undefined) byPattern.set(pattern, value)
        else counting.merge(present, value)
      }
      if (rest !== null) byPattern.set(null, rest)
      return [...byPattern]
        .map(([pattern, value]) => ({ pattern, value }))
        .sort((a, b) => counting.weight(b.value) - counting.weight(a.value))
    },
  }
}

function list<T>(entries: ReadonlyMap<number, Entry<T>>): Entry<T>[] {
  const all: Entry<T>[] = []
  for (const first of entries.values())
    for (let entry: Entry<T> | null = first; entry !== null; entry = entry.next) all.push(entry)
  return all
}

function sameBytes(a: Uint8Array, b: Uint8Array, length: number): boolean {
  if (a.length !== length) return false
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return false
  return true
}

function grow<T>(entries: readonly Entry<T>[], counting: Counting<T>): Node<T> {
  const root: Node<T> = { children: new Map(), value: null, weight: 0 }
  for (const { bytes, value } of entries) {
    const weight = counting.weight(value)
    let node = root
    node.weight += weight
    for (let start = 0; start < bytes.length; ) {
      let end = start
      while (end < bytes.length && !isSeparator(bytes[end] as number)) end++
      const edge = Buffer.from(bytes.subarray(start, end + 1)).toString('latin1')
      let child = node.children.get(edge)
      if (child === undefined) {
        child = { children: new Map(), value: null, weight: 0 }
        node.children.set(edge, child)
      }
      child.weight += weight
      node = child
      start = end + 1
    }
    node.value = value
  }
  return root
}

/** Folds the children of this node that are ids by their number, then those of each child. `path` is the shape up to here. */
function foldNode<T>(
  node: Node<T>,
  path: string,
  few: number,
  pressure: number,
  folds: Map<number, Set<number>>,
  counting: Counting<T>,
): void {
  const tokens = new Map<string, number>()
  let starred = 0
  for (const [edge, child] of node.children) {
    const token = tokenOf(edge)
    if (token === STAR_TEXT) starred += child.weight
    else if (token !== '') tokens.set(token, (tokens.get(token) ?? 0) + child.weight)
  }
  const varying = varyingTokens(tokens, node.weight, starred, few, pressure)
  if (varying.size > 0) {
    for (const [edge, child] of [...node.children]) {
      const token = tokenOf(edge)
      if (!varying.has(token)) continue
      node.children.delete(edge)
      tokens.delete(token)
      const starEdge = STAR_TEXT + edge.slice(token.length)
      const present = node.children.get(starEdge)
      if (present === undefined) node.children.set(starEdge, child)
      else mergeNode(present, child, counting)
    }
    const hash = hashText(path)
    folds.set(hash, new Set([...tokens.keys()].map((token) => hashText(token, hash))))
  }
  for (const [edge, child] of node.children) foldNode(child, appendEdge(path, edge), few, pressure, folds, counting)
}

const STAR_TEXT = String.fromCharCode(STAR)

function varyingTokens(
  tokens: ReadonlyMap<string, number>,
  weight: number,
  starred: number,
  few: number,
  pressure: number,
): Set<string> {
  const rare = [...tokens].filter(([, keys]) => keys <= few || (pressure > 0 && keys <= weight * OWN_SHARE))
  if (rare.length > FEW_SIBLINGS >> (2 * pressure)) return new Set(rare.map(([token]) => token))
  if (tokens.size > MANY_SIBLINGS >> (2 * pressure)) {
    return new Set([...tokens].filter(([, keys]) => keys < weight * OWN_SHARE).map(([token]) => token))
  }
  // Where most names are ids, a rare one that might be an id by its looks is one that the rules of shapes let through.
  return new Set(
    rare
      .filter(([token, keys]) => starred >= 20 * keys && /[0-9A-Z\0]|^[a-f]{4,}$|.{16}/.test(token))
      .map(([token]) => token),
  )
}

function mergeNode<T>(into: Node<T>, from: Node<T>, counting: Counting<T>): void {
  into.weight += from.weight
  if (from.value !== null) {
    if (into.value === null) into.value = from.value
    else counting.merge(into.value, from.value)
  }
  for (const [edge, child] of from.children) {
    const present = into.children.get(edge)
    if (present === undefined) into.children.set(edge, child)
    else mergeNode(present, child, counting)
  }
}

function emitNode<T>(node: Node<T>, path: string, visit: (shape: string, value: T) => void): void {
  if (node.value !== null) visit(path, node.value)
  for (const [edge, child] of node.children) emitNode(child, appendEdge(path, edge), visit)
}

/** As the shaper would: `*-*` is `*`. */
function appendEdge(path: string, edge: string): string {
  const collapses =
    edge.startsWith(STAR_TEXT) && path.at(-2) === STAR_TEXT && isMinorSeparator(path.charCodeAt(path.length - 1))
  return collapses ? path.slice(0, -2) + edge : path + edge
}

function tokenOf(edge: string): string {
  return edge !== '' && isSeparator(edge.charCodeAt(edge.length - 1)) ? edge.slice(0, -1) : edge
}

function hashText(text: string, hash?: number): number {
  const bytes = Buffer.from(text, 'latin1')
  return hashBytes(bytes, 0, bytes.length, hash)
}

/** The shape as a glob that can be shown and pasted: bytes that would not survive either become `?`, which matches any one byte. */
function patternText(shape: Uint8Array): string {
  const text = Buffer.from(shape).toString('utf8')
  const safe =
    Buffer.byteLength(text) === shape.length && !text.includes('\uFFFD')
      ? text
      : Buffer.from(shape)
          .toString('latin1')
          .replace(/[\x80-\xff]/g, '?')
  return safe
    .replace(/[^\0]/gu, (char) => (isPlain(char) ? char : '?'.repeat(Buffer.byteLength(char))))
    .replaceAll(STAR_TEXT, '*')
}

function isPlain(char: string): boolean {
  return printable(char) === char && !/[*?[\]]/.test(char)
}
