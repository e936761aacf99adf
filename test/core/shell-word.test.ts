// Command lines that people are given to type: a shell must hand over the very words.
import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { commandLine, shellWord } from '../../src/core/shell-word.ts'

const HOSTILE = [
  'pattern:shop:v1:list:[^x]*',
  "it's",
  'a b',
  '$(id)',
  '`id`',
  '!x',
  '~root',
  '--tenant',
  'k;ls',
  '"',
  '',
]

it('gives words that a shell hands over as they are', () => {
  const words = execFileSync('sh', ['-c', `printf '%s\\0' ${HOSTILE.map(shellWord).join(' ')}`]).toString()
  expect(words.split('\0').slice(0, -1)).toEqual(HOSTILE)
})

it('escapes what a terminal would obey', () => {
  expect(commandLine(['invalidate', 'key:a\u001b[2J', 'namespace:list'])).toBe(
    "cachectl invalidate 'key:a\\x1B[2J' namespace:list",
  )
})
