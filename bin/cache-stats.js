#!/usr/bin/env node
import { main } from './main.js'

await main(['stats', ...process.argv.slice(2)])
