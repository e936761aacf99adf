// One run of the CLI: its flags, its streams, what it opened, how it ends. Commands get everything from here.
import type { ChalkInstance } from 'chalk'
import type { ConfigReading, LoadedConfig, LoadOptions } from '../config/load.ts'
import { asCachectlError, CachectlError, EXIT, type ExitCode, worstExit } from '../core/errors.ts'
import { printable, safeJson } from '../core/printable.ts'
import type { OpenedContext } from '../ops/context.ts'
import { untilStopped } from '../ops/until-stopped.ts'
import type { Emit } from '../ports.ts'
import type { GlobalFlags } from './flags.ts'
import { createOutput, type Io, type Output } from './io.ts'
import { type ErrorFlags, flagsOf, flagValue } from './unparsed-flags.ts'

const UNCAUGHT_HINT =
  "a client that the config opened may have failed by itself: listen to its errors, e.g. pool.on('error', () => {})"

type ConfigFlags = Pick<GlobalFlags, 'config' | 'redis'>

export interface Session {
  io: Io
  /** the command line, without node and script */
  argv: readonly string[]
  out: Output
  err: Output
  signal: AbortSignal
  /** Where events go; a command that shows progress puts its sink here. */
  emit: Emit
  /** A failure as JSON; a command that has begun its document puts there how that one ends. */
  failureJson: (error: object) => string
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
  /** Something failed that nobody waited for. */
  uncaught(thrown: unknown): void
  withTenantLabel(argv: readonly string[], known: ReadonlySet<string>): Promise<string[]>
  finish(): Promise<ExitCode>
  fail(thrown: unknown, argv: readonly string[]): Promise<ExitCode>
  close(): Promise<void>
}

export function createSession(io: Io, argv: readonly string[] = []): Session {
  const aborter = new AbortController()
  const closers: (() => Promise<void>)[] = []
  const codes: ExitCode[] = []
  let flags: GlobalFlags | null = null
  let failures = ''
  let gone = false
  let unwritten: CachectlError | null = null
  let uncaught: CachectlError | null = null
  const stop = (why: CachectlError) => aborter.abort(why)
  const out = createOutput(io.stdout, (error) => {
    gone = error === null
    if (error) unwritten = new CachectlError('OUTPUT_FAILED', `cannot write the answer: ${error.message}`)
    stop(unwritten ?? new CachectlError('OUTPUT_FAILED', 'the reader of the answer went away'))
  })
  const err = createOutput(io.stderr, () => undefined)
  let loaded: Promise<LoadedConfig> | null = null

  const session: Session = {
    io,
    argv,
    out,
    err,
    signal: aborter.signal,
    emit: () => undefined,
    failureJson: (error) => safeJson({ ok: false, error }),
    begin(_command, given) {
      flags = given
      if (given.deadline === undefined) return
      const timer = setTimeout(() => stop(new CachectlError('DEADLINE', 'the deadline passed')), given.deadline)
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
      return untilStopped(loaded, aborter.signal, 0)
    },
    async readConfig(given) {
      const { readConfig } = await import('../config/load.ts')
      return readConfig(loadOptions(io, given))
    },
    async context(given) {
      const config = await session.config(given)
      const { openContext } = await import('../ops/context.ts')
      try {
        const context = await openContext({
          loaded: config,
          emit: (event) => session.emit(event),
          signal: aborter.signal,
          stateDir: stateDir(io.env),
        })
        closers.push(() => context.close())
        // Nothing was done yet that would have to be reported: a server that does not answer holds nobody up.
        await untilStopped(context.store.identity(), aborter.signal, 0)
        return context
      } catch (thrown) {
        throw withOrigin(thrown, config.redis?.from)
      }
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
      stop(new CachectlError(code, `${word}: stopped where it was`))
    },
    uncaught(thrown) {
      const { message } = asCachectlError(thrown)
      uncaught ??= new CachectlError('UNEXPECTED', `nobody caught: ${message}`, { hint: UNCAUGHT_HINT, cause: thrown })
      stop(uncaught)
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
      // What is wrong with a config comes first: without it, no one knows what the flag is.
      const label = (await session.config(given)).config?.tenantLabel
      return argv.map((word) =>
        label && (word === `--${label}` || word.startsWith(`--${label}=`))
          ? word.replace(`--${label}`, '--tenant')
          : word,
      )
    },
    async finish() {
      await out.written()
      const failure = unwritten ?? uncaught
      if (failure) await tell(failure, flags)
      else await err.write(failures)
      return worstExit(codes)
    },
    async fail(thrown, argv) {
      if (thrown === null) return session.finish()
      if (gone) return worstExit(codes)
      const error = failureOf(thrown)
      const given = flags ?? flagsOf(argv)
      const { code, message, hint, exitCode } = error
      if (given.json || given.output === 'json' || given.output === 'ndjson')
        await out.write(`${session.failureJson({ code, message, hint, exitCode })}\n`)
      await tell(error, given)
      return worstExit(codes)
    },
    async close() {
      out.close()
      for (const close of closers.reverse().splice(0)) await close().catch(() => undefined)
    },
  }

  /** Once the run was to stop, whatever failed failed because of that. */
  function failureOf(thrown: unknown): CachectlError {
    const error = asCachectlError(thrown)
    if (!aborter.signal.aborted) return error
    const reason = asCachectlError(aborter.signal.reason)
    return reason.code === error.code ? error : reason
  }

  /** On stderr, and in the exit code. */
  async function tell(error: CachectlError, given: Partial<ErrorFlags> | null): Promise<void> {
    codes.push(error.exitCode)
    const bug = error.code === 'UNEXPECTED' ? 'unexpected error' : 'error'
    const stack = given?.verbose && error.cause instanceof Error ? `${printableLines(error.cause.stack ?? '')}\n` : ''
    const line = `${bug}: ${printableLines(error.message)}\n`
    const next = `  next: ${printableLines(error.hint)}\n`
    await err.write(given?.quiet ? `${line}${stack}` : `${failures}${line}${next}${stack}`)
  }
  return session
}

async function loadConfig(io: Io, given: ConfigFlags): Promise<LoadedConfig> {
  const { loadConfig } = await import('../config/load.ts')
  return loadConfig(loadOptions(io, given))
}

/** A server that cannot be used may be the wrong one: who named it is said. */
function withOrigin(thrown: unknown, from: string | undefined): unknown {
  const error = asCachectlError(thrown)
  const { code, message, hint, cause, exitCode } = error
  const isOfServer = exitCode === EXIT.unreachable || exitCode === EXIT.denied || code === 'REDIS_URL_INVALID'
  if (from === undefined || !isOfServer) return error
  return new CachectlError(code, message, { hint: `${hint} (the URL is from ${from})`, cause })
}

/** By the XDG Base Directory Specification, which ignores relative paths. */
function stateDir({ XDG_STATE_HOME: state, HOME: home }: Io['env']): string | null {
  if (state?.startsWith('/')) return `${state}/cachectl`
  return home?.startsWith('/') ? `${home}/.local/state/cachectl` : null
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
