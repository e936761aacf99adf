// What the three programs share: the exit code is set, and the loop given a moment to empty. Only here may the process be ended.
import { Console } from 'node:console'
import { existsSync, readFileSync } from 'node:fs'

/** A client of the user's own config may keep the loop alive; it gets this long. */
const GRACE_MS = 250

/** @param {string[]} argv */
export async function main(argv) {
  // Asked by scripts and editors, often: not worth loading the command line for.
  if (argv.length === 1 && (argv[0] === '-V' || argv[0] === '--version')) {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
    process.stdout.write(`${version}\n`)
    return
  }
  const built = new URL('../dist/cli/program.js', import.meta.url)
  if (!existsSync(built)) {
    process.stderr.write('error: cachectl is not built yet\n  next: npm run build\n')
    process.exitCode = 2
    return
  }
  // Whatever the user's config and its clients log: stdout is for the answer alone.
  globalThis.console = new Console(process.stderr, process.stderr)
  const { run } = await import(built.href)
  const { systemIo } = await import(new URL('../dist/cli/io.js', import.meta.url).href)
  process.exitCode = await run(argv, systemIo())
  setTimeout(() => {
    if (argv.includes('-v') || argv.includes('--verbose')) {
      const open = process
        .getActiveResourcesInfo()
        .filter((name) => name !== 'Timeout' && name !== 'TTYWrap' && name !== 'PipeWrap')
      process.stderr.write(
        `something that the config opened is still open (${[...new Set(open)].join(', ') || 'unknown'}); ending anyway\n`,
      )
    }
    process.exit()
  }, GRACE_MS).unref()
}
