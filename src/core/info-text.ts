// INFO as text: `name:value` lines. A server may leave out what it likes.

/** Section titles and blank lines are skipped. */
export function parseInfo(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':')
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1))
  }
  return fields
}

/** Null where the server does not say, or says no number. */
export function numberField(fields: ReadonlyMap<string, string>, name: string): number | null {
  const text = fields.get(name)
  if (text === undefined || text === '') return null
  const value = Number(text)
  return Number.isFinite(value) ? value : null
}
