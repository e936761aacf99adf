// What the groups share: a private server, timed child processes, the best of several rounds.
import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { startServer } from '../dist/adapters/redis/embedded.js'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** A private server on a unix socket. The caller stops it. */
export const startRedis = () => startServer()

/** @param {{ url: string }} server */
export const socketOf = (server) => server.url.replace(/^unix:(\/\/)?/, '')

/**
 * Runs a command to its end. @throws when it fails
 * @param {string} command @param {string[]} args
 * @param {{ input?: string, env?: NodeJS.ProcessEnv, cwd?: string }} [options] input: a file for its standard input
 * @returns {Promise<{ ms: number, stdout: string }>}
 */
export function timed(command, args, { input, env, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now()
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: [input ? 'pipe' : 'ignore', 'pipe', 'inherit'],
    })
    if (input && child.stdin) createReadStream(input).pipe(child.stdin)
    let stdout = ''
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      stdout += text
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve({ ms: performance.now() - startedMs, stdout })
      else reject(new Error(`${command} ${args.join(' ')} ended with ${code}: ${stdout.slice(-500)}`))
    })
  })
}

/**
 * Several rounds of each, taking turns, so that a busy moment of the machine meets all of them; the best of each counts.
 * @param {number} rounds @param {Record<string, () => Promise<number>>} contestants each gives milliseconds
 * @returns {Promise<Record<string, number>>}
 */
export async function bestOf(rounds, contestants) {
  /** @type {Record<string, number>} */
  const best = {}
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contestants))
      best[name] = Math.min(best[name] ?? Number.POSITIVE_INFINITY, await run())
  }
  return best
}

/** @param {string} name @param {string} baseline @param {number} value @param {number} baselineValue @param {string} unit */
export const result = (name, baseline, value, baselineValue, unit) => ({
  name,
  baseline,
  value,
  baselineValue,
  unit,
  ratio: value / baselineValue,
})
