// `cachectl keys`: a stream of keys, a line each; with --json one document, written as they are found.
import { asCachectlError, CachectlError } from '../../core/errors.ts'
import { printable, safeJson } from '../../core/printable.ts'
import { formatCount } from '../../core/units.ts'
import { keys } from '../../ops/keys.ts'
import type { ReadFrom } from '../../ops/read-from.ts'
import { beginReport } from '../../ops/report-base.ts'
import { renderKeys } from '../../render/keys.ts'
import { readFromText } from '../../render/read-from.ts'
import type { Invocation } from '../command.ts'
import type { Session } from '../session.ts'
import { parseTargets } from '../targets.ts'

export interface KeysFlags {
  limit?: number
  age?: boolean
  replica?: boolean
}

export async function keysCommand(session: Session, { args, flags }: Invocation<KeysFlags>): Promise<void> {
  const format = session.format(flags)
  const { out, signal } = session
  const targets = await parseTargets(session, flags, args)
  const context = await session.context(flags)
  const age = flags.age ?? false
  const details = format !== 'table' || age || flags.verbose === true
  const report = await beginReport(context)
  const replica = flags.replica ?? false
  const sources: ReadFrom[] = []
  const onReadFrom = (from: ReadFrom): void => {
    sources.push(from)
    session.note(readFromText(from))
  }
  const ended = (complete = true) => (replica ? { ...report(complete), readFrom: sources } : report(complete))
  let found = 0
  if (format === 'json') {
    await out.write('{"command":"keys","keys":[')
    session.failureJson = (error) => closing({ ...ended(false), error })
  }
  for await (const rows of keys(context, {
    ...targets,
    details,
    age,
    limit: flags.limit ?? null,
    replica,
    onReadFrom,
  })) {
    const lines = rows.map((row) => safeJson(row))
    if (format === 'ndjson') await out.write(`${lines.join('\n')}\n`)
    else if (format === 'json') await out.write(`${found > 0 ? ',' : ''}\n${lines.join(',\n')}`)
    else if (!flags.quiet) await out.write(renderKeys(rows, { ttlAndSize: details, age }))
    found += rows.length
    if (out.closed) return
  }
  if (signal.aborted) throw stoppedAfter(found, asCachectlError(signal.reason))
  if (format === 'json') await out.write(`${closing(ended())}\n`)
  if (found === 0) session.note(`no key matches ${printable(args.join(' '))}; see what is there with: cachectl stats`)
}

/** The end of the document that begins with the keys. */
function closing(rest: object): string {
  return `\n],${safeJson(rest).slice(1)}`
}

function stoppedAfter(keys: number, { code, message }: CachectlError): CachectlError {
  return new CachectlError(code, `${message}, after ${formatCount(keys)} keys: there may be more`)
}
