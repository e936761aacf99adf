// Flags of a command line that is not parsed yet, or could not be.
import type { GlobalFlags } from './flags.ts'

export type ErrorFlags = Pick<GlobalFlags, 'json' | 'output' | 'quiet' | 'verbose'>

/** As far as they matter for how an error is told. */
export function flagsOf(argv: readonly string[]): ErrorFlags {
  const output = flagValue(argv, '-o', '--output')
  return {
    json: argv.includes('--json'),
    output: output === 'json' || output === 'ndjson' ? output : 'table',
    quiet: argv.includes('-q') || argv.includes('--quiet'),
    verbose: argv.includes('-v') || argv.includes('--verbose'),
  }
}

export function flagValue(argv: readonly string[], ...names: string[]): string | undefined {
  for (const [index, word] of argv.entries()) {
    for (const name of names) {
      if (word === name) return argv[index + 1]
      if (word.startsWith(`${name}=`)) return word.slice(name.length + 1)
    }
  }
  return undefined
}
