// `npm run bench [-- group] [--json]`: each figure beside its baseline, measured in the same run on the same machine. docs/bench.md says what bounds them.
import { cpus } from 'node:os'
import Table from 'cli-table3'
import { benchEvict } from './evict.js'
import { benchInvalidate } from './invalidate.js'
import { benchPrune } from './invalidate-prune.js'
import { benchLibrary } from './library.js'
import { benchStart } from './start.js'
import { benchStats } from './stats.js'
import { benchWarm } from './warm.js'

/**
 * @typedef {object} Result
 * @property {string} name what was measured
 * @property {string} baseline what it is compared with
 * @property {number} value
 * @property {number} baselineValue
 * @property {string} unit
 * @property {number} ratio value / baselineValue: speeds want it high, times want it low
 */

const GROUPS = {
  start: benchStart,
  warm: benchWarm,
  stats: benchStats,
  library: benchLibrary,
  evict: benchEvict,
  invalidate: benchInvalidate,
  prune: benchPrune,
}

const words = process.argv.slice(2)
const asked = words.filter((word) => !word.startsWith('-'))
const unknown = asked.find((name) => !(name in GROUPS))
if (unknown) {
  process.stderr.write(`error: no group ${unknown}; there are ${Object.keys(GROUPS).join(', ')}\n`)
  process.exitCode = 2
} else {
  const say = (/** @type {string} */ text) => process.stderr.write(`${text}\n`)
  /** @type {Result[]} */
  const results = []
  for (const [name, bench] of Object.entries(GROUPS)) {
    if (asked.length === 0 || asked.includes(name)) results.push(...(await bench(say)))
  }
  process.stdout.write(words.includes('--json') ? `${JSON.stringify({ results })}\n` : `${asTable(results)}\n`)
}

/** @param {Result[]} results */
function asTable(results) {
  const table = new Table({ head: ['what', 'figure', 'beside', 'figure', 'ratio'], style: { head: [], border: [] } })
  const figure = (/** @type {number} */ value, /** @type {string} */ unit) =>
    `${value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)} ${unit}`
  for (const { name, value, baseline, baselineValue, unit, ratio } of results) {
    table.push([name, figure(value, unit), baseline, figure(baselineValue, unit), `${ratio.toFixed(2)}x`])
  }
  return `${table}\nNode ${process.version}, ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'})`
}
