#!/usr/bin/env node
import { main } from './main.js'

const argv = process.argv.slice(2)
// What clears the cache has a command of its own, with its own safeguards.
const others = argv.filter((word) => word !== '--clear')
await main(others.length < argv.length ? ['invalidate', 'all', ...others] : ['stats', ...argv])
