// The command tree, the signals, the one catch, the exit code. Commands are imported when they run.
import { createRequire } from 'node:module'
import { type Argument, Command, CommanderError, Option } from 'commander'
import { CachectlError, type ExitCode } from '../core/errors.ts'
import { untilStopped } from '../ops/until-stopped.ts'
import { action, examples } from './command.ts'
import { declareDoctor } from './declare/doctor.ts'
import { declareEvict } from './declare/evict.ts'
import { declareExpire } from './declare/expire.ts'
import { declareHistory } from './declare/history.ts'
import { declareInvalidate } from './declare/invalidate.ts'
import { declareLock } from './declare/lock.ts'
import { declarePolicy } from './declare/policy.ts'
import { declareVersion } from './declare/version.ts'
import { addGlobalFlags, duration, instant, positiveInteger } from './flags.ts'
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
  const stopListening = io.onSignal((signal) => session.interrupt(signal))
  io.onUncaught((thrown) => session.uncaught(thrown))
  try {
    await untilStopped(runCommand(argv, session), session.signal, STOP_WITHIN_MS)
    return await session.finish()
  } catch (thrown) {
    return await session.fail(thrown instanceof CommanderError ? usageError(thrown) : thrown, argv)
  } finally {
    await session.close()
    stopListening()
  }
}

async function runCommand(argv: readonly string[], session: Session): Promise<void> {
  const program = createProgram(session)
  await program.parseAsync(await session.withTenantLabel(argv, knownFlags(program)), { from: 'user' })
}

/** null: help or version was asked for and printed */
function usageError(error: CommanderError): CachectlError | null {
  if (error.exitCode === 0) return null
  // Nothing was asked for, so nothing was done; commander has the help.
  if (error.code === 'commander.help') return new CachectlError('USAGE', 'no command was given')
  const message = error.message.replace(/^error: /, '')
  const [first = '', ...rest] = message.split('\n')
  return new CachectlError(
    'USAGE',
    first,
    rest.length > 0
      ? {
          hint: rest
            .join(' ')
            .trim()
            .replace(/^\(|\)$/g, ''),
        }
      : {},
  )
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
  addDaily(program, session)
  program.commandsGroup(GROUPS.incident)
  for (const declare of INCIDENT) declare(program, session)
  program.commandsGroup(GROUPS.care)
  for (const declare of CARE) declare(program, session)
  addSetup(program, session)
  program.addHelpText('after', '\nExit codes and the environment: see the README. Start with `cachectl init`.')
  return program
}

function addDaily(program: Command, session: Session): void {
  program.commandsGroup(GROUPS.daily)
  program
    .command('warm [target...]')
    .description('load what the models declare into Redis')
    .addHelpText(
      'before',
      examples(
        'cachectl warm',
        'cachectl warm product --strategy recent --limit 1000',
        'cachectl warm product:42 --refresh',
      ),
    )
    .addOption(new Option('--strategy <name>', 'which rows').choices(['all', 'recent', 'popular', 'ids']))
    .option('--ids <list>', 'these ids: 1,2,3, a file with one a line, or - for standard input')
    .option('--critical', 'the models marked critical')
    .option('--missing', 'load only what is absent')
    .option('--refresh', 'reload what is present too, never over a newer or invalidated entry')
    .option('--limit <n>', 'at most this many rows a model', positiveInteger)
    .option('--since <time>', 'rows changed since then: 24h, or 2026-11-21T03:00:00Z', instant)
    .option('--concurrency <n>', 'pages under way at once', positiveInteger, 4)
    .option('--batch <n>', 'rows a page', positiveInteger, 500)
    .option('--rate <n>', 'at most this many rows a second', positiveInteger)
    .addOption(
      new Option('--if-locked <what>', 'when another run warms the same model')
        .choices(['fail', 'skip', 'wait'])
        .default('fail'),
    )
    .option('-n, --dry-run', 'say what would be loaded; write nothing')
    .action(action(session, async () => (await import('./commands/warm.ts')).warmCommand))
  program
    .command('stats [target...]')
    .description('what is cached, by namespace and model, and how healthy it is')
    .addHelpText(
      'before',
      examples(
        'cachectl stats',
        'cachectl stats --by tenant --top 5',
        'cachectl stats --redis redis://127.0.0.1:6379 --json',
      ),
    )
    .addOption(
      new Option('--by <what>', 'group by').choices(['namespace', 'model', 'tenant', 'version', 'pattern', 'type']),
    )
    .option('--full', 'count every key, however many there are')
    .option('--sample <n>', 'estimate from this many keys, with intervals', positiveInteger)
    .option('--top <n>', 'groups shown; the rest are summed in one line', positiveInteger, 20)
    .option('--largest <n>', 'also list the largest keys', positiveInteger)
    .option('--age', 'read ages even where that touches LRU')
    .option('--replica', 'count on a replica that is in step, where there is one')
    .option('--interval <duration>', 'also the hit rate over this time from now', duration)
    .action(action(session, async () => (await import('./commands/stats.ts')).statsCommand))
  program
    .command('keys <target>')
    .description('the keys of a target, as they are found')
    .addHelpText(
      'before',
      examples(
        'cachectl keys product',
        'cachectl keys pattern:shop:v1:list:*',
        'cachectl keys all -o ndjson | jq .key',
      ),
    )
    .option('--limit <n>', 'at most this many keys', positiveInteger)
    .option('--age', 'with the age of each entry; touches LRU where the server cannot avoid it')
    .option('--replica', 'read from a replica that is in step, where there is one')
    .action(action(session, async () => (await import('./commands/keys.ts')).keysCommand))
  program
    .command('get <key>')
    .description('the value of a key, decoded; what is known of it goes to stderr')
    .addHelpText(
      'before',
      examples(
        'cachectl get shop:v1:detail:product:42',
        "cachectl get 'session:3f2a' --redis redis://127.0.0.1:6379",
        'cachectl get shop:v1:detail:product:42 --raw | xxd',
      ),
    )
    .option('--raw', 'the bytes as they are in Redis')
    .action(action(session, async () => (await import('./commands/get.ts')).getCommand))
  program
    .command('why <key>')
    .description('whether a key is there, what it says of itself, and what a read would do now')
    .addHelpText(
      'before',
      examples(
        'cachectl why shop:v1:detail:product:42',
        'cachectl why shop:v1:list:product:all:page_1:size_20',
        'cachectl why shop:v1:detail:product:42 --json',
      ),
    )
    .action(action(session, async () => (await import('./commands/why.ts')).whyCommand))
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
