// One run of the CLI: its flags, its streams, what it opened, how it ends. Commands get everything from here.
import type { ChalkInstance } from 'chalk'
import type { ConfigReading, LoadedConfig, LoadOptions } from '../config/load.ts'
import { asCachectlError, CachectlError, EXIT, type ExitCode, worstExit } from '../core/errors.ts'
import { printable, safeJson } from '../core/printable.ts'
import type { OpenedContext } from '../ops/context.ts'
import type { Emit } from '../ports.ts'
import type { GlobalFlags } from './flags.ts'
import { createOutput, type Io, type Output } from './io.ts'

type ConfigFlags = Pick<GlobalFlags, 'config' | 'redis'>

export interface Session {
  io: Io
  out: Output
  err: Output
  signal: AbortSignal
  /** Where events go; a command that shows progress puts its sink here. */
  emit: Emit
  begin(command: string, flags: GlobalFlags): void
  format(flags: GlobalFlags): 'table' | 'json' | 'ndjson'
  paint(flags: GlobalFlags): Promise<ChalkInstance>
  /** The config, or none where no file is there and `--redis` or `REDIS_URL` name a server. */
  config(flags: ConfigFlags): Promise<LoadedConfig>
  /** The config with what is wrong in it. */
  readConfig(flags: GlobalFlags): Promise<ConfigReading>
  context(flags: GlobalFlags): Promise<OpenedContext>
  /** A line for people on stderr, unless `--quiet`. */
  note(text: string): void
  /** Text of commander for stderr. */
  errors(text: string): void
  exit(code: ExitCode): void
  /** The exit code for what stopped the run before its end. */
  stoppedBy(): ExitCode
  interrupt(signal: 'SIGINT' | 'SIGTERM'): void
  withTenantLabel(argv: readonly string[], known: ReadonlySet<string>): Promise<string[]>
  finish(): Promise<ExitCode>
  fail(thrown: unknown, argv: readonly string[]): Promise<ExitCode>
  close(): Promise<void>
}

export function createSession(io: Io): Session {
  const aborter = new AbortController()
  const closers: (() => Promise<void>)[] = []
  const codes: ExitCode[] = []
  let flags: GlobalFlags | null = null
  let failures = ''
  let gone = false
  const readerGone = () => {
    gone = true
    aborter.abort(new CachectlError('INTERRUPTED', 'the reader of the output went away'))
  }
  const out = createOutput(io.stdout, readerGone)
  const err = createOutput(io.stderr, () => undefined)
  let loaded: Promise<LoadedConfig> | null = null

  const session: Session = {
    io,
    out,
    err,
    signal: aborter.signal,
    emit: () => undefined,
    begin(_command, given) {
      flags = given
      if (given.deadline === undefined) return
      const timer = setTimeout(
        () => aborter.abort(new CachectlError('DEADLINE', 'the deadline passed')),
        given.deadline,
      )
      closers.push(async () => clearTimeout(timer))
    },
    format: (given) => (given.json ? 'json' : given.output),
    async paint(given) {
      const { Chalk } = await import('chalk')
      const forced = io.env.FORCE_COLOR !== undefined && io.env.FORCE_COLOR !== '' && io.env.FORCE_COLOR !== '0'
      const wanted = given.color && !io.env.NO_COLOR && (forced || (io.stdoutIsTty && io.env.TERM !== 'dumb'))
      return new Chalk({ level: wanted ? 1 : 0 })
    },
    config(given) {
      loaded ??= loadConfig(io, given)
      return loaded
    },
    async readConfig(given) {
      const { readConfig } = await import('../config/load.ts')
      return readConfig(loadOptions(io, given))
    },
    async context(given) {
      const config = await session.config(given)
      const { openContext } = await import('../ops/context.ts')
      const context = await openContext({
        loaded: config,
        emit: (event) => session.emit(event),
        signal: aborter.signal,
      })
      closers.push(() => context.close())
      return context
    },
    note(text) {
      if (!flags?.quiet) void err.write(`${text}\n`)
    },
    errors(text) {
      failures += text
    },
    exit: (code) => void codes.push(code),
    stoppedBy: () => (gone ? EXIT.done : asCachectlError(aborter.signal.reason).exitCode),
    interrupt(signal) {
      const [code, word] =
        signal === 'SIGINT' ? (['INTERRUPTED', 'interrupted'] as const) : (['TERMINATED', 'terminated'] as const)
      aborter.abort(new CachectlError(code, `${word}: stopped where it was`))
    },
    async withTenantLabel(argv, known) {
      const unknown = argv.find(
        (word) =>
          word.startsWith('--') &&
          word !== '--' &&
          !known.has(word.split('=')[0] ?? word) &&
          !known.has(word.replace(/^--/, '--no-')),
      )
      if (!unknown) return [...argv]
      const [file, redis] = [flagValue(argv, '-c', '--config'), flagValue(argv, '--redis')]
      const given = { ...(file === undefined ? {} : { config: file }), ...(redis === undefined ? {} : { redis }) }
      // A config that cannot be loaded is told when the command asks for it; until then the flag is just unknown.
      const { config } = await session.config(given).catch(() => {
        loaded = null
        return { config: null }
      })
      const label = config?.tenantLabel
      return argv.map((word) =>
        label && (word === `--${label}` || word.startsWith(`--${label}=`))
          ? word.replace(`--${label}`, '--tenant')
          : word,
      )
    },
    async finish() {
      await err.write(failures)
      return gone && codes.length === 0 ? EXIT.done : worstExit(codes)
    },
    async fail(thrown, argv) {
      if (thrown === null) return session.finish()
      const error = asCachectlError(thrown)
      if (gone) return worstExit(codes)
      await report(error, flags ?? flagsOf(argv))
      return worstExit([...codes, error.exitCode])
    },
    async close() {
      for (const close of closers.reverse().splice(0)) await close().catch(() => undefined)
    },
  }

  async function report(
    error: CachectlError,
    given: Pick<GlobalFlags, 'json' | 'output' | 'quiet' | 'verbose'>,
  ): Promise<void> {
    const { code, message, hint, exitCode } = error
    if (given.json || given.output === 'json' || given.output === 'ndjson') {
      await out.write(`${safeJson({ ok: false, error: { code, message, hint, exitCode } })}\n`)
    }
    const bug = code === 'UNEXPECTED' ? 'unexpected error' : 'error'
    const stack = given.verbose && error.cause instanceof Error ? `${printableLines(error.cause.stack ?? '')}\n` : ''
    const next = given.quiet ? '' : `  next: ${printableLines(hint)}\n`
    await err.write(`${bug}: ${printableLines(message)}\n${next}${stack}`)
  }
  return session
}

async function loadConfig(io: Io, given: ConfigFlags): Promise<LoadedConfig> {
  const { loadConfig } = await import('../config/load.ts')
  return loadConfig(loadOptions(io, given))
}

function loadOptions(io: Io, given: ConfigFlags): LoadOptions {
  return {
    cwd: io.cwd,
    env: io.env,
    flags: given.redis === undefined ? {} : { redis: given.redis },
    ...(given.config === undefined ? {} : { file: given.config }),
  }
}

/** Escaped line by line: our own messages may have several. */
function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** Flags of a command line that could not be parsed, as far as they matter for how its error is told. */
function flagsOf(argv: readonly string[]): Pick<GlobalFlags, 'json' | 'output' | 'quiet' | 'verbose'> {
  const output = flagValue(argv, '-o', '--output')
  return {
    json: argv.includes('--json'),
    output: output === 'json' || output === 'ndjson' ? output : 'table',
    quiet: argv.includes('-q') || argv.includes('--quiet'),
    verbose: argv.includes('-v') || argv.includes('--verbose'),
  }
}

function flagValue(argv: readonly string[], ...names: string[]): string | undefined {
  for (const [index, word] of argv.entries()) {
    for (const name of names) {
      if (word === name) return argv[index + 1]
      if (word.startsWith(`${name}=`)) return word.slice(name.length + 1)
    }
  }
  return undefined
}
