// What a Prisma client's own schema says of its models: ids, relations, which rows the database deletes or changes along with others.

export interface PrismaRelation {
  /** field of the model */
  name: string
  /** model it leads to */
  model: string
  list: boolean
  /** the rows of this model hold the other's id */
  ownsKey: boolean
}

export interface PrismaModel {
  name: string
  /** names of its fields but for relations */
  fields: ReadonlySet<string>
  relations: ReadonlyMap<string, PrismaRelation>
  /** fields of the primary key; empty: none is declared */
  id: readonly string[]
  /** fields to which relations of other models point, and those of the primary key */
  keys: ReadonlySet<string>
  /** models whose rows the database deletes or changes when a row of this one is deleted, transitively */
  onDelete: ReadonlySet<string>
  /** the same, when one of `keys` is changed */
  onUpdate: ReadonlySet<string>
}

/** in the line of a relation whose key is in the rows of its model */
const OWNS_KEY = /@relation\(.*\bfields:/

interface Block {
  name: string
  lines: string[]
}

/** An update of an id is carried on unless the schema says otherwise; a deletion only where it says so, or where the relation is optional. */
const INERT = new Set(['NoAction', 'Restrict'])

/** The models of a schema's text, as Prisma's formatter or anybody else has written it. Never throws: what it does not understand is not in it. */
export function parsePrismaSchema(text: string): ReadonlyMap<string, PrismaModel> {
  const blocks = modelBlocks(text)
  const names = new Set(blocks.map(({ name }) => name))
  const models = new Map(blocks.map((block) => [block.name, readModel(block, names)]))
  for (const { field, line } of blocks.flatMap((block) => keyedRelations(block, names))) {
    const keys = models.get(field.type)?.keys as Set<string>
    for (const key of namesIn(/\breferences:\s*\[([^\]]*)\]/.exec(line)?.[1])) keys.add(key)
  }
  for (const event of ['onDelete', 'onUpdate'] as const) {
    const direct = directEffects(blocks, names, event)
    for (const model of models.values()) {
      const effects = model[event] as Set<string>
      const pending = [model.name]
      for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
        for (const next of direct.get(name) ?? []) {
          if (effects.has(next)) continue
          effects.add(next)
          pending.push(next)
        }
      }
    }
  }
  return models
}

function readModel({ name, lines }: Block, names: ReadonlySet<string>): PrismaModel {
  const fields = new Set<string>()
  const relations = new Map<string, PrismaRelation>()
  let id: string[] = []
  for (const line of lines) {
    const compound = /^@@id\(.*?\[([^\]]*)\]/.exec(line)
    if (compound) id = namesIn(compound[1])
    const field = fieldOf(line)
    if (field === null) continue
    if (names.has(field.type)) {
      const ownsKey = OWNS_KEY.test(line)
      relations.set(field.name, { name: field.name, model: field.type, list: field.list, ownsKey })
      continue
    }
    if (/\s@id\b/.test(line)) id = [field.name]
    fields.add(field.name)
  }
  return { name, fields, relations, id, keys: new Set(id), onDelete: new Set(), onUpdate: new Set() }
}

/** Of each model: those whose rows change with its own, by their relations to it. */
function directEffects(
  blocks: readonly Block[],
  names: ReadonlySet<string>,
  event: 'onDelete' | 'onUpdate',
): Map<string, Set<string>> {
  const effects = new Map<string, Set<string>>()
  for (const block of blocks) {
    for (const { field, line } of keyedRelations(block, names)) {
      const standard = event === 'onUpdate' ? 'Cascade' : field.optional ? 'SetNull' : 'Restrict'
      if (INERT.has(new RegExp(`\\b${event}:\\s*(\\w+)`).exec(line)?.[1] ?? standard)) continue
      effects.set(field.type, (effects.get(field.type) ?? new Set()).add(block.name))
    }
  }
  return effects
}

/** The relations whose key is in the model's own rows. */
function keyedRelations({ lines }: Block, names: ReadonlySet<string>): { field: Field; line: string }[] {
  return lines.flatMap((line) => {
    const field = fieldOf(line)
    return field !== null && names.has(field.type) && OWNS_KEY.test(line) ? [{ field, line }] : []
  })
}

interface Field {
  name: string
  type: string
  list: boolean
  optional: boolean
}

function fieldOf(line: string): Field | null {
  const match = /^([A-Za-z]\w*)\s+([A-Za-z]\w*)(\[\])?(\?)?/.exec(line)
  if (match === null) return null
  const [, name = '', type = '', list, optional] = match
  return { name, type, list: list !== undefined, optional: optional !== undefined }
}

function namesIn(list = ''): string[] {
  return list.split(',').flatMap((item) => /^\s*(\w+)/.exec(item)?.[1] ?? [])
}

/** The models and their fields, a field a line, as Prisma's grammar has it; without comments. */
function modelBlocks(text: string): Block[] {
  const blocks: Block[] = []
  let open: Block | null = null
  for (const written of text.split(/\r?\n/)) {
    const line = written.replace(/("(?:\\.|[^"\\])*")|\/\/.*/g, '$1').trim()
    const start = /^(?:model|view)\s+(\w+)\s*\{$/.exec(line)
    if (start) {
      open = { name: start[1] as string, lines: [] }
      blocks.push(open)
    } else if (line === '}') open = null
    else open?.lines.push(line)
  }
  return blocks
}
