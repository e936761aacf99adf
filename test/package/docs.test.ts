// The docs say what the code does: their tables are made from it. `UPDATE_DOCS=1` writes them anew.
import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { commandTables, configTables, environmentTable, exitCodeTable, findingsTable } from './docs-tables.ts'

const TABLES: readonly [file: string, section: string, make: () => string][] = [
  ['README.md', 'exit-codes', exitCodeTable],
  ['README.md', 'environment', environmentTable],
  ['README.md', 'commands', commandTables],
  ['README.md', 'config', configTables],
  ['docs/health.md', 'findings', findingsTable],
]

describe('the tables of the docs', () => {
  for (const [name, section, make] of TABLES) {
    it(`${name}: ${section}`, () => {
      const file = new URL(`../../${name}`, import.meta.url)
      const text = readFileSync(file, 'utf8')
      const pattern = new RegExp(`(<!-- begin: ${section} -->\\n)[^]*?(<!-- end: ${section} -->)`)
      expect(text).toMatch(pattern)
      const updated = text.replace(pattern, (_, begin: string, end: string) => `${begin}\n${make()}\n\n${end}`)
      if (process.env.UPDATE_DOCS) writeFileSync(file, updated)
      else expect(text).toBe(updated)
    })
  }
})
