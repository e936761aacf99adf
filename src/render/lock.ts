// The reports of `lock` for people.
import type { ChalkInstance } from 'chalk'
import { printable } from '../core/printable.ts'
import { formatDuration } from '../core/units.ts'
import type { HeldLock, LockReleaseReport, LockShowReport, ReleasePlan } from '../ops/lock.ts'
import type { RedisIdentity } from '../ports.ts'
import { layOut } from './columns.ts'
import { serverLine } from './server-line.ts'

export function renderLocks({ name, locks, complete }: LockShowReport): string {
  const end = complete ? '' : 'stopped before the end: there may be more\n'
  if (locks.length === 0 && complete) return name === null ? 'no lock is held\n' : `${name} is not held\n`
  const { lines } = layOut(
    locks,
    [
      { title: 'lock', align: 'left', cell: (lock) => lock.name },
      { title: 'held by', align: 'left', cell: (lock) => lock.holder ?? 'unknown' },
      { title: 'since', align: 'left', cell: ({ since }) => since?.replace(/\.\d+Z$/, 'Z') ?? 'unknown' },
      { title: 'for', align: 'right', cell: ({ ageMs }) => (ageMs === null ? '-' : formatDuration(ageMs)) },
      {
        title: 'lapses in',
        align: 'right',
        cell: ({ expiresInMs }) => (expiresInMs === null ? 'never' : formatDuration(expiresInMs)),
      },
    ],
    null,
    (text) => text,
  )
  return `${lines.join('\n')}\n${end}`
}

export function renderReleasePlan({ lock }: ReleasePlan, redis: RedisIdentity): string {
  return [
    serverLine(redis),
    ...(lock === null ? [] : [`${heldText(lock)}.`]),
    'If that run still lives it stops within seconds, with exit 5; what it has written stays.',
  ].join('\n')
}

export function renderRelease(report: LockReleaseReport, paint: ChalkInstance): string {
  const { name, lock, outcome, heldNow } = report
  switch (outcome) {
    case 'released':
      return `${paint.green('✓')} ${name} is released; it was held by ${lock?.holder ?? 'unknown'}\n`
    case 'absent':
      return `${name} is not held: there is nothing to release. See what is: cachectl lock show\n`
    case 'lapsed':
      return `${name} was gone when it was to be released: nothing was left to do\n`
    case 'dry run':
      return `${lock === null ? `${name} is not held` : heldText(lock)}.\nDry run: nothing was changed.\n`
    case 'changed hands':
      return `${paint.red('✗')} ${name} was not released: it changed hands meanwhile. ${heldNow === null ? '' : `${heldText(heldNow)}.`}\n  next: cachectl lock show ${printable(name)}\n`
  }
}

/** `warm:product is held by web-1:4711 since 2026-11-21T03:04:05Z (2 m), and lapses in 25 s unless it is renewed` */
function heldText({ name, holder, since, ageMs, expiresInMs }: HeldLock): string {
  const when = since === null ? '' : ` since ${since.replace(/\.\d+Z$/, 'Z')}`
  const age = ageMs === null ? '' : ` (${formatDuration(ageMs)})`
  const lapses =
    expiresInMs === null
      ? 'and never lapses by itself'
      : `and lapses in ${formatDuration(expiresInMs)} unless it is renewed`
  return `${name} is held by ${holder ?? 'an unknown holder'}${when}${age}, ${lapses}`
}
