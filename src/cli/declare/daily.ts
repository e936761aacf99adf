// `warm`, `stats`, `keys`, `get`, `why`: what is asked for every day.
import { type Command, Option } from 'commander'
import { action, examples } from '../command.ts'
import { duration, instant, positiveInteger } from '../flags.ts'
import type { Session } from '../session.ts'

export function declareDaily(program: Command, session: Session): void {
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
    .action(action(session, async () => (await import('../commands/warm.ts')).warmCommand))
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
    .action(action(session, async () => (await import('../commands/stats.ts')).statsCommand))
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
    .action(action(session, async () => (await import('../commands/keys.ts')).keysCommand))
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
    .action(action(session, async () => (await import('../commands/get.ts')).getCommand))
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
    .action(action(session, async () => (await import('../commands/why.ts')).whyCommand))
}
