#!/usr/bin/env node
import { main } from './main.js'

const [...argv] = process.argv.slice(2)
const clear = argv.indexOf('--clear')
// What clears the cache has a command of its own, with its own safeguards.
if (clear >= 0) argv.splice(clear, 1)
await main(
  clear >= 0
    ? ['invalidate', ...(argv.some((word) => !word.startsWith('-')) ? [] : ['all']), ...argv]
    : ['stats', ...argv],
)
