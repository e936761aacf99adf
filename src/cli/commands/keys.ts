// `cachectl keys`: a stream of keys, a line or a JSON document each.
import { safeJson } from '../../core/printable.ts'
import { keys } from '../../ops/keys.ts'
import { renderKeys } from '../../render/keys.ts'
import type { Invocation } from '../program.ts'
import type { Session } from '../session.ts'
import { parseTargets } from '../targets.ts'

export interface KeysFlags {
  limit?: number
  age?: boolean
}

export async function keysCommand(session: Session, { args, flags }: Invocation<KeysFlags>): Promise<void> {
  const format = session.format(flags)
  const targets = await parseTargets(session, flags, args)
  const context = await session.context(flags)
  const age = flags.age ?? false
  const details = format !== 'table' || age || flags.verbose === true
  let found = 0
  if (format === 'json') await session.out.write('[')
  for await (const rows of keys(context, { ...targets, details, age, limit: flags.limit ?? null })) {
    const lines = rows.map((row) => safeJson(row))
    if (format === 'table') await session.out.write(renderKeys(rows, { ttlAndSize: details, age }))
    else if (format === 'ndjson') await session.out.write(`${lines.join('\n')}\n`)
    else await session.out.write(`${found > 0 ? ',' : ''}\n${lines.join(',\n')}`)
    found += rows.length
    if (session.out.closed) return
  }
  if (format === 'json') await session.out.write('\n]\n')
  if (session.signal.aborted) return session.exit(session.stoppedBy())
  if (found === 0) session.note(`no key matches ${args.join(' ')}; see what is there with: cachectl stats`)
}
