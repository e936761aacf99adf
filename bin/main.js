// What the three programs share: the exit code is set, and the loop given a moment to empty. Only here may the process be ended.
import { existsSync, readFileSync } from 'node:fs'

/** A client of the user's own config may keep the loop alive; it gets this long. */
const GRACE_MS = 250

/** What Node calls the things that keep a process alive, for people. */
const OPEN = {
  Timeout: 'a timer',
  TCPSocketWrap: 'a TCP connection',
  TLSWrap: 'a TLS connection',
  PipeWrap: 'a unix socket',
  TCPServerWrap: 'a server',
  ProcessWrap: 'a child process',
  MessagePort: 'a worker',
}

/** @param {string[]} argv */
export async function main(argv) {
  // Asked by scripts and editors, often: not worth loading the command line for.
  if (argv.length === 1 && (argv[0] === '-V' || argv[0] === '--version')) {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
    process.stdout.on('error', ({ code }) => {
      if (code !== 'EPIPE') process.exitCode = 3
    })
    process.stdout.write(`${version}\n`)
    return
  }
  const built = new URL('../dist/cli/program.js', import.meta.url)
  if (!existsSync(built)) {
    process.stderr.write('error: cachectl is not built yet\n  next: npm run build\n')
    process.exitCode = 2
    return
  }
  const { run } = await import(built.href)
  const { systemIo } = await import(new URL('../dist/cli/io.js', import.meta.url).href)
  const io = systemIo()
  const own = process.getActiveResourcesInfo()
  process.exitCode = await run(argv, io)
  setTimeout(() => {
    if (argv.includes('-v') || argv.includes('--verbose')) {
      const open = new Set(left(process.getActiveResourcesInfo(), own).map((name) => OPEN[name] ?? name))
      process.stderr.write(`note: the config left open: ${[...open].join(', ') || 'unknown'}; ending anyway\n`)
    }
    process.exit()
  }, GRACE_MS).unref()
}

/**
 * @param {readonly string[]} now
 * @param {readonly string[]} before
 */
function left(now, before) {
  const known = [...before]
  return now.filter((name) => {
    const at = known.indexOf(name)
    if (at >= 0) known.splice(at, 1)
    return at < 0
  })
}
