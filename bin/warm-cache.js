#!/usr/bin/env node
import { main } from './main.js'

await main(['warm', ...process.argv.slice(2)])
