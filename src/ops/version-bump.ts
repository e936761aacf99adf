// `version bump`: everything of a scope is out of reach at once, under a new generation; of a raw namespace, under the next number of its own.
import type { Acknowledged } from '../cache/announce.ts'
import type { Applied } from '../cache/invalidating.ts'
import type { Change } from '../cache/kernel.ts'
import { type Account, emptyAccount } from '../core/account.ts'
import { asCachectlError, CachectlError, EXIT, type ExitCode, worstExit } from '../core/errors.ts'
import { scopeField } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import { type Changer, openChanger, TOLD_WITHIN_MS } from './apply-change.ts'
import type { OpenedContext } from './context.ts'
import { watchHandover } from './handover.ts'
import { aimedAt, beginJournal, type JournalPlace, type JournalRun } from './journal.ts'
import type { Preview } from './preview.ts'
import { beginReport, type ReportBase } from './report-base.ts'
import { untilStopped } from './until-stopped.ts'
import type { VersionBumpPlan } from './version-bump-plan.ts'
import type { RawVersion } from './version-raw.ts'
import { bumpRaw } from './version-raw-bump.ts'
import type { ScopeName } from './version-scopes.ts'
import { readControl, requireConfig } from './version-state.ts'

/** A scope, and its generation or version before and now. */
export interface BumpedScope extends ScopeName {
  before: string | null
  /** null of a dry run */
  token: string | null
  generation: number | null
  /** of a raw namespace: where its version is written; null otherwise */
  versionKey: string | null
}

/** `matched` and `outdated` are estimates where `method` is `sample`. */
export interface VersionBumpReport extends Omit<ReportBase, 'dryRun'>, Account {
  command: 'version bump'
  dryRun: boolean
  exitCode: ExitCode
  targets: readonly string[]
  /** false of a dry run, and where processes could not be told of it */
  applied: boolean
  scopes: readonly BumpedScope[]
  method: Preview['method']
  bytes: number | null
  acknowledged: (Acknowledged & { durationMs: number }) | null
  journal: JournalPlace
  preview: Preview
  /** why it ended before its end */
  stopped: { code: string; message: string; hint: string } | null
  /** why it may be incomplete though nothing failed; null: there is no such reason */
  doubt: string | null
}

/** The plan, not executed. */
export async function versionBumpDryRun(context: OpenedContext, plan: VersionBumpPlan): Promise<VersionBumpReport> {
  const begun = await beginReport(context)
  const ofOwn = plan.scopes.map((scope) => ({
    ...scope,
    before: null,
    token: null,
    generation: null,
    versionKey: null,
  }))
  return report(begun, plan, {
    dryRun: true,
    scopes: [...ofOwn, ...plan.raw.map((version) => rawScope(version, null))],
  })
}

/** @throws CachectlError where nothing was bumped, or it is not known whether it was; otherwise the report says what was */
export async function versionBump(context: OpenedContext, plan: VersionBumpPlan): Promise<VersionBumpReport> {
  const begun = await beginReport(context)
  const { prefix } = requireConfig(context)
  const what = aimedAt([plan.target], plan.tenant)
  // It frees nothing by itself, and is the way out of an incident all the same.
  const journal = await beginJournal(context, { verb: 'version bump', what, frees: true })
  const changer = await openChanger(context)
  try {
    const handover = await watchHandover(context.store)
    const done: Done = await bumpAll(context, changer, plan, journal)
    if (done.failure == null) done.doubt = await handover.doubt(() => areThere(context, plan, prefix, done.scopes))
    const made = report(begun, plan, { ...done, dryRun: false, journal: journal.place() })
    const { ok, complete, exitCode, matched, outdated } = made
    await journal.end({ ok, complete, exitCode, counts: { scopes: made.scopes.length, matched, outdated } })
    return { ...made, journal: journal.place() }
  } catch (thrown) {
    await journal.end({ ok: false, complete: false, exitCode: asCachectlError(thrown).exitCode, counts: {} })
    throw thrown
  } finally {
    await changer.close()
  }
}

/** The tokens that were made, and versions that are no smaller. */
async function areThere(
  { store }: OpenedContext,
  { change, raw }: VersionBumpPlan,
  prefix: string,
  scopes: readonly BumpedScope[],
): Promise<boolean> {
  const own = change?.scopes ?? []
  const { fields } = await readControl(store, prefix)
  if (own.some((scope, index) => fields.get(scopeField(scope)) !== scopes[index]?.token)) return false
  for (const [index, { versionKey }] of raw.entries())
    if (!(Number(await store.call('GET', versionKey)) >= Number(scopes[own.length + index]?.token))) return false
  return true
}

interface Done {
  scopes: readonly BumpedScope[]
  acknowledged?: VersionBumpReport['acknowledged']
  failure?: CachectlError | null
  doubt?: string | null
}

async function bumpAll(
  { signal }: OpenedContext,
  changer: Changer,
  plan: VersionBumpPlan,
  { op }: JournalRun,
): Promise<Done> {
  const scopes: BumpedScope[] = []
  let acknowledged: VersionBumpReport['acknowledged'] = null
  let failure: CachectlError | null = null
  if (plan.change !== null) {
    const { bumps, announcement } = await applyOnce(changer, { ...plan.change, op }, plan)
    scopes.push(
      ...plan.scopes.map((scope, index) => {
        const { before = null, token = null, generation = null } = bumps[index] ?? {}
        return { ...scope, before, token, generation, versionKey: null }
      }),
    )
    try {
      acknowledged = await untilStopped(changer.announce(announcement), signal, TOLD_WITHIN_MS)
    } catch (thrown) {
      failure = asCachectlError(thrown)
    }
  }
  for (const version of plan.raw) {
    try {
      signal.throwIfAborted()
      const { before, value } = await bumpRaw(changer, version)
      scopes.push(rawScope({ ...version, value: before }, value))
    } catch (thrown) {
      // What was bumped before stays so: the report tells it.
      if (scopes.length === 0) throw thrown
      failure = asCachectlError(thrown)
      break
    }
  }
  return { scopes, acknowledged, failure }
}

/** A lost answer is asked for once more, under the same operation and on a new connection: what was done is not done twice. */
async function applyOnce(changer: Changer, change: Change, plan: VersionBumpPlan): Promise<Applied> {
  try {
    return await changer.apply(change)
  } catch (thrown) {
    const lost = asCachectlError(thrown)
    if (lost.exitCode !== EXIT.unreachable) throw lost
  }
  try {
    return await changer.apply(change)
  } catch (thrown) {
    throw unknownWhether(asCachectlError(thrown), plan.target)
  }
}

/** @param target as it is named on the command line, escaped */
export function unknownWhether({ code, message }: CachectlError, target: string): CachectlError {
  return new CachectlError(code, `whether ${target} was bumped is unknown, it was asked for twice: ${message}`, {
    hint: `look with: cachectl version show '${target}'. To bump it again does no harm`,
  })
}

function rawScope(version: RawVersion, value: string | null): BumpedScope {
  const { namespace, subject, tenant, versionKey } = version
  const name = subject === null ? namespace : `${namespace}:${subject}`
  return {
    scope: `namespace:${printable(name)}`,
    tenant: tenant === null ? null : printable(tenant),
    before: version.value,
    token: value,
    generation: value === null ? null : Number(value),
    versionKey: printable(versionKey),
  }
}

function report(
  begun: (complete?: boolean) => ReportBase,
  { target, preview: found, change }: VersionBumpPlan,
  done: Done & { dryRun: boolean; journal?: JournalPlace },
): VersionBumpReport {
  const { dryRun, failure = null, doubt = null, acknowledged = null, scopes } = done
  const told =
    change === null || acknowledged === null || acknowledged.lapsed || acknowledged.processes === acknowledged.of
  const complete = failure === null && doubt === null && told
  const account = { ...emptyAccount(), matched: found.keys, [dryRun ? 'remaining' : 'outdated']: found.keys }
  return {
    command: 'version bump',
    ...begun(complete),
    dryRun,
    exitCode: worstExit([failure?.exitCode ?? EXIT.done, complete ? EXIT.done : EXIT.partial]),
    targets: [target],
    applied: !dryRun && complete,
    scopes,
    ...account,
    method: found.method,
    bytes: found.bytes,
    acknowledged,
    journal: done.journal ?? 'none',
    preview: found,
    stopped: failure === null ? null : { code: failure.code, message: failure.message, hint: failure.hint },
    doubt,
  }
}
