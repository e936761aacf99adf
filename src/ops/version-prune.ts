// `version prune`: deletes what nobody can read any more, key by key: entries of dead generations, and of versions of the code that no process has.
import type { ResolvedConfig } from '../config/resolved.ts'
import { type Account, emptyAccount } from '../core/account.ts'
import type { CodeVersion } from '../core/code-version.ts'
import { asCachectlError, CachectlError, EXIT, type ExitCode, worstExit } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { Danger } from '../core/safeguards.ts'
import type { Target } from '../core/target.ts'
import { type Changer, openChanger } from './apply-change.ts'
import { type Aim, type Decide, decideFor } from './changes.ts'
import type { OpenedContext } from './context.ts'
import { watchHandover } from './handover.ts'
import { beginJournal, type JournalPlace } from './journal.ts'
import type { Pace } from './pace.ts'
import { type Preview, preview } from './preview.ts'
import { beginReport, type ReportBase } from './report-base.ts'
import { type Swept, sweep, unlinkAction } from './sweep.ts'
import { type Prunable, prunableKeys } from './version-dead.ts'
import { askVersions, forgettable, forgetVersions, type OldVersion, oldVersionsIn } from './version-leaving.ts'
import { parseVersionTarget } from './version-scopes.ts'
import { readVersionState, requireConfig } from './version-state.ts'

export interface VersionPruneOptions {
  /** none, or `global`: everything that is dead */
  targets: readonly string[]
  tenant: string | null
  /** how long processes of older versions get to say that they live */
  waitMs: number
}

export interface VersionPrunePlan {
  options: VersionPruneOptions
  targets: readonly string[]
  /** keys that are meant, dead or not */
  decide: Decide
  /** older than this config's, and registered */
  old: readonly (OldVersion & CodeVersion)[]
  /** of dead keys; those of versions whose processes are still to be asked are in it */
  preview: Preview
  danger: Danger
}

export interface VersionPruneReport extends Omit<ReportBase, 'dryRun'>, Account {
  command: 'version prune'
  dryRun: boolean
  exitCode: ExitCode
  targets: readonly string[]
  /** nothing dead is left, but of versions whose processes live */
  applied: boolean
  /** of the deleted keys, estimated; null where unknown */
  bytes: number | null
  /** nobody has copies of what cannot be read */
  acknowledged: null
  versions: readonly OldVersion[]
  journal: JournalPlace
  preview: Preview
  notes: readonly string[]
  problems: Swept['problems']
  /** why it ended before its end */
  stopped: { code: string; message: string; hint: string } | null
  /** why it may be incomplete though nothing failed; null: there is no such reason */
  doubt: string | null
}

/** @throws CachectlError USAGE; of Redis */
export async function planVersionPrune(
  context: OpenedContext,
  options: VersionPruneOptions,
): Promise<VersionPrunePlan> {
  const config = requireConfig(context)
  const decide = decideFor(aimOf(options, config), config)
  const state = await readVersionState(context, config.prefix)
  const old = oldVersionsIn(state, config)
  // As it would be if nobody answered: it is never more than that.
  const assumed = new Set(old.filter((one) => one.state === 'registered').map(({ field }) => field))
  const prunable = prunableKeys(context.store, config, state, { kept: new Set(), assumed })
  const found = await preview(context, { decide: spareDead(decide, prunable), examine: prunable.examine, exact: false })
  return {
    options,
    targets: options.targets.map((text) => printable(text)),
    decide,
    old,
    preview: found,
    danger: {
      typed: config.prefix,
      everything: false,
      production: config.env === 'production',
      keys: found.keys,
      // However much of the database it is: nobody can read it.
      share: null,
    },
  }
}

/** With raw namespaces that have versions: `all` is what lies under the prefix. */
function aimOf({ targets: texts, tenant }: VersionPruneOptions, config: ResolvedConfig): Aim {
  const parsed = texts.map((text) => parseVersionTarget(text, config))
  if (tenant !== null && config.tenantLabel === null)
    throw new CachectlError('USAGE', 'the config has no tenants', { hint: 'leave --tenant out' })
  const everything = parsed.length === 0 || parsed.some(({ kind }) => kind === 'global')
  const raw = Object.values(config.namespaces).filter(
    ({ format, versionKey }) => format === 'raw' && versionKey !== null,
  )
  const targets: Target[] = everything
    ? [
        { kind: 'all', text: 'all' },
        ...raw.map(({ name }) => ({ kind: 'namespace' as const, namespace: name, text: `namespace:${name}` })),
      ]
    : parsed.flatMap((target) => (target.kind === 'global' ? [] : [target]))
  return { targets, tenant, foreign: false }
}

/** Versions of which a process has said that it lives. */
function keptIn(old: readonly OldVersion[]): Set<string> {
  return new Set(old.filter(({ state }) => state === 'answered').map(({ version }) => version))
}

/** Protected keys count where they are dead. */
function spareDead(decide: Decide, prunable: Prunable): Decide {
  return (key) => {
    const decision = decide(key)
    return decision === 'protect' && !prunable.isDead(key) ? 'pass' : decision
  }
}

/** The plan, not executed. */
export async function versionPruneDryRun(context: OpenedContext, plan: VersionPrunePlan): Promise<VersionPruneReport> {
  const { keys, protected: spared } = plan.preview
  const account = { ...emptyAccount(), matched: keys + spared, protected: spared, remaining: keys }
  return report(await beginReport(context), plan, { account, complete: true, dryRun: true, old: plan.old })
}

/** @throws CachectlError where nothing was done; otherwise the report says what was */
export async function versionPrune(
  context: OpenedContext,
  plan: VersionPrunePlan,
  pace: Pace,
): Promise<VersionPruneReport> {
  const begun = await beginReport(context)
  const what = plan.targets.length === 0 ? ['global'] : plan.targets
  const journal = await beginJournal(context, { verb: 'version prune', what, frees: true })
  const changer = await openChanger(context)
  try {
    const done = await prune(context, changer, plan, pace)
    const made = report(begun, plan, { ...done, dryRun: false, journal: journal.place() })
    await journal.end({ ok: made.ok, complete: made.complete, exitCode: made.exitCode, counts: { ...done.account } })
    return { ...made, journal: journal.place() }
  } catch (thrown) {
    await journal.end({ ok: false, complete: false, exitCode: asCachectlError(thrown).exitCode, counts: {} })
    throw thrown
  } finally {
    await changer.close()
  }
}

interface Done {
  account: Account
  complete: boolean
  old: readonly OldVersion[]
  swept?: Swept
  lost?: boolean
  doubt?: string | null
  failure?: CachectlError | null
}

async function prune(context: OpenedContext, changer: Changer, plan: VersionPrunePlan, pace: Pace): Promise<Done> {
  const config = requireConfig(context)
  const { waitMs } = plan.options
  const { old, state } = await askVersions(context, changer, plan.old, waitMs)
  // Whoever is told to stop has done nothing yet.
  if (context.signal.aborted) throw asCachectlError(context.signal.reason)
  const prunable = prunableKeys(context.store, config, state, { kept: keptIn(old) })
  const handover = await watchHandover(context.store)
  const swept = await sweep(context, {
    decide: spareDead(plan.decide, prunable),
    examine: prunable.examine,
    action: await unlinkAction(context),
    pace,
    task: 'pruning',
    expected: plan.preview.keys,
  })
  const whole = swept.complete && !prunable.lost()
  const doubt = whole ? await handover.doubt() : swept.doubt
  const complete = whole && doubt === null
  const done = { account: swept.account, complete, swept, lost: prunable.lost(), doubt }
  const all = plan.options.targets.length === 0 && plan.options.tenant === null
  if (!all || !complete || swept.account.protected > 0) return { ...done, old }
  const gone = forgettable(old, state.nowMs)
  try {
    await forgetVersions(changer, config.prefix, gone)
  } catch (thrown) {
    return { ...done, old, failure: asCachectlError(thrown) }
  }
  return { ...done, old: old.map((one) => (gone.includes(one) ? { ...one, state: 'forgotten' as const } : one)) }
}

function report(
  begun: (complete?: boolean) => ReportBase,
  { targets, preview: found }: VersionPrunePlan,
  done: Done & { dryRun: boolean; journal?: JournalPlace },
): VersionPruneReport {
  const { account, dryRun, old, swept, lost = false } = done
  const stopped = swept?.stopped ?? done.failure ?? null
  const complete = done.complete && stopped === null
  return {
    command: 'version prune',
    ...begun(complete),
    dryRun,
    exitCode: worstExit([stopped?.exitCode ?? EXIT.done, complete ? EXIT.done : EXIT.partial]),
    targets,
    applied: !dryRun && complete,
    ...account,
    bytes:
      found.bytes === null ? null : found.keys === 0 ? 0 : Math.round((found.bytes / found.keys) * account.deleted),
    acknowledged: null,
    versions: old.map(({ version, subject, state }) => ({
      version,
      subject: subject === null ? null : printable(subject),
      state,
    })),
    journal: done.journal ?? 'none',
    preview: found,
    notes: lost
      ? ['control data was lost or made anew meanwhile: what is current now has yet to show, so the rest was left']
      : [],
    problems: swept?.problems ?? [],
    stopped: stopped === null ? null : { code: stopped.code, message: stopped.message, hint: stopped.hint },
    doubt: done.doubt ?? null,
  }
}
