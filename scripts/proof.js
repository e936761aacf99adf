// `npm run proof`: the races of the library in their long versions, 600 trials each. SEED=… repeats a run, PROOF=… is how many times as many as in `npm test`.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
const proof = spawn(process.execPath, [vitest, 'run', 'test/races', ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, PROOF: process.env.PROOF ?? '10' },
})
proof.on('exit', (code, signal) => {
  process.exitCode = signal ? 1 : (code ?? 1)
})
