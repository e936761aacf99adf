// src/ to dist/, from nothing: types by the compiler, code joined into a few files, because Node takes longer to find a hundred
// small modules than to run them (`npm run bench -- start`).
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')

/** What is imported from outside of src/: by the programs, by applications, by the demo and the tests of the built package. */
const ENTRIES = [
  'index',
  'keyv',
  'orm/prisma',
  'orm/drizzle',
  'cli/program',
  'cli/io',
  'config/load',
  'adapters/redis/embedded',
]

rmSync(new URL('../dist', import.meta.url), { recursive: true, force: true })
await build({
  absWorkingDir: root,
  entryPoints: ENTRIES.map((name) => `src/${name}.ts`),
  outbase: 'src',
  outdir: 'dist',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'es2023',
  logLevel: 'warning',
})
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' })
process.exitCode = status ?? 1
