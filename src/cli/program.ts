// The command tree, the signals, the one catch, the exit code. Commands are imported when they run.
import { createRequire } from 'node:module'
import { type Argument, Command, CommanderError } from 'commander'
import { CachectlError, type ExitCode } from '../core/errors.ts'
import { untilStopped } from '../ops/until-stopped.ts'
import { action, examples } from './command.ts'
import { declareDaily } from './declare/daily.ts'
import { declareDoctor } from './declare/doctor.ts'
import { declareEvict } from './declare/evict.ts'
import { declareExpire } from './declare/expire.ts'
import { declareHistory } from './declare/history.ts'
import { declareInvalidate } from './declare/invalidate.ts'
import { declareLock } from './declare/lock.ts'
import { declarePolicy } from './declare/policy.ts'
import { declareVersion } from './declare/version.ts'
import { addGlobalFlags } from './flags.ts'
import type { Io } from './io.ts'
import { createSession, type Session } from './session.ts'

/** What a run that is to stop gets to end by itself: to be done with what is under way, and to report it. */
const STOP_WITHIN_MS = 3_000

const GROUPS = { daily: 'Every day:', incident: 'Incident:', care: 'Care:', setup: 'Set-up:' }

const INCIDENT = [declareInvalidate, declareExpire, declareVersion, declareDoctor, declareHistory]
const CARE = [declareEvict, declarePolicy, declareLock]

/** Runs one command line (without node and script) and resolves with the exit code. Throws nothing, exits nothing. */
export async function run(argv: readonly string[], io: Io): Promise<ExitCode> {
  const session = createSession(io, argv)
  const asked: Asked = { command: 'cachectl' }
  const stopListening = io.onSignal((signal) => session.interrupt(signal))
  io.onUncaught((thrown) => session.uncaught(thrown))
  try {
    await untilStopped(runCommand(argv, session, asked), session.signal, STOP_WITHIN_MS)
    return await session.finish()
  } catch (thrown) {
    return await session.fail(thrown instanceof CommanderError ? usageError(thrown, asked) : thrown, argv)
  } finally {
    await session.close()
    stopListening()
  }
}

/** Which command's help is worth reading where the line cannot be parsed; the program itself until one is known. */
interface Asked {
  command: string
}

async function runCommand(argv: readonly string[], session: Session, asked: Asked): Promise<void> {
  const program = createProgram(session)
  const remember = (_: Command, sub: Command) => {
    asked.command += ` ${sub.name()}`
  }
  for (const command of [program, ...program.commands]) command.hook('preSubcommand', remember)
  await program.parseAsync(await session.withTenantLabel(argv, knownFlags(program)), { from: 'user' })
}

/** null: help or version was asked for and printed */
function usageError({ code, exitCode, message: text }: CommanderError, { command }: Asked): CachectlError | null {
  if (exitCode === 0) return null
  // Nothing was asked for, so nothing was done; commander has the help.
  if (code === 'commander.help')
    return new CachectlError('USAGE', 'no command was given', { hint: `one of those above: ${command} <command>` })
  const [first = '', ...rest] = text.replace(/^error: /, '').split('\n')
  const meant = rest
    .join(' ')
    .trim()
    .replace(/^\(|\)$/g, '')
  return new CachectlError('USAGE', first, { hint: meant || `run \`${command} --help\`` })
}

export function createProgram(session: Session): Command {
  const { io } = session
  const program = new Command('cachectl')
  program
    .description('Warm, measure, invalidate and look after the application caches that a cache.config.ts describes.')
    .version(version(), '-V, --version', 'the version of cachectl')
    .helpOption('-h, --help', 'help; `cachectl <command> --help` begins with examples')
    .configureOutput({
      writeOut: (text) => void session.out.write(text),
      writeErr: (text) => void (text.startsWith('error:') || session.errors(text)),
      getOutHelpWidth: () => io.columns,
      getErrHelpWidth: () => io.columns,
    })
    .configureHelp({
      showGlobalOptions: true,
      // Every command has options; without the word there is room for what it does.
      subcommandTerm: (command) => [command.name(), ...command.registeredArguments.map(argumentTerm)].join(' '),
    })
    .showSuggestionAfterError(true)
    .exitOverride()
    .addHelpCommand(new Command('help').argument('[command]').description('help of a command').helpGroup(GROUPS.setup))
  addGlobalFlags(program)
  program.commandsGroup(GROUPS.daily)
  declareDaily(program, session)
  program.commandsGroup(GROUPS.incident)
  for (const declare of INCIDENT) declare(program, session)
  program.commandsGroup(GROUPS.care)
  for (const declare of CARE) declare(program, session)
  addSetup(program, session)
  program.addHelpText('after', '\nExit codes and the environment: see the README. Start with `cachectl init`.')
  return program
}

function addSetup(program: Command, session: Session): void {
  program.commandsGroup(GROUPS.setup)
  program
    .command('init')
    .description('write a commented cache.config.ts to start from')
    .addHelpText('before', examples('cachectl init', 'cachectl init --force', 'cachectl init && cachectl config check'))
    .option('--force', 'replace the file that is there')
    .action(action(session, async () => (await import('./commands/init.ts')).initCommand))
  const config = program
    .command('config')
    .description('the config as it is understood')
    .addHelpText('before', examples('cachectl config check', 'cachectl config show', 'cachectl config show --json'))
  config
    .command('show')
    .description('every setting, defaults filled in, secrets left out')
    .addHelpText(
      'before',
      examples(
        'cachectl config show',
        'cachectl config show --json | jq .config.models',
        'cachectl config show --config ./cache.config.ts',
      ),
    )
    .action(action(session, async () => (await import('./commands/config.ts')).configShowCommand))
  config
    .command('check')
    .description('all problems of the config at once; exit 2 if there are any')
    .addHelpText(
      'before',
      examples(
        'cachectl config check',
        'cachectl config check --json',
        'cachectl config check --config ./cache.config.ts',
      ),
    )
    .action(action(session, async () => (await import('./commands/config.ts')).configCheckCommand))
}

function argumentTerm(argument: Argument): string {
  const named = `${argument.name()}${argument.variadic ? '...' : ''}`
  return argument.required ? `<${named}>` : `[${named}]`
}

function knownFlags(program: Command): Set<string> {
  const commands = [program, ...program.commands, ...program.commands.flatMap((command) => command.commands)]
  return new Set([
    '--help',
    ...commands.flatMap((command) => command.options.flatMap((option) => (option.long ? [option.long] : []))),
  ])
}

export function version(): string {
  // By the package's own name: this code is moved when it is built.
  return (createRequire(import.meta.url)('cachectl/package.json') as { version: string }).version
}
