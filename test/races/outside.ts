// The command line beside running processes: the operations behind `cachectl invalidate` and `cachectl version bump` for each kind of trial, with warms of the
// same rows under way.
import { setTimeout as pause } from 'node:timers/promises'
import type { ResolvedConfig } from '../../src/config/resolved.ts'
import { createKeys } from '../../src/core/key.ts'
import { parseTarget } from '../../src/core/target.ts'
import { type OpenedContext, openContext } from '../../src/ops/context.ts'
import { invalidate } from '../../src/ops/invalidate.ts'
import { planInvalidate } from '../../src/ops/invalidate-plan.ts'
import type { InvalidateReport } from '../../src/ops/invalidate-report.ts'
import { type VersionBumpReport, versionBump } from '../../src/ops/version-bump.ts'
import { planVersionBump } from '../../src/ops/version-bump-plan.ts'
import { warm } from '../../src/ops/warm.ts'
import { planWarm } from '../../src/ops/warm-plan.ts'
import type { Source } from '../../src/ports.ts'
import { aConfig, aModel, aNamespace } from '../resolved.ts'
import { randomFromSeed } from '../seed.ts'
import { emptyHistory, type History, monotonicMs } from './history.ts'
import { type Rewrite, rewritingStore } from './naive-cli.ts'
import { isBump, NAMESPACES, type Plan, placeOf, type Truth, UNHELD } from './trial.ts'

/** As the processes have it, and each subject a model too, whose rows are the truth. */
function configOf(url: string, prefix: string, options: OutsideOptions, random: () => number) {
  const { heartbeatMs = 300, l1, loadMs, truth, trials } = options
  const near = l1 ? { maxEntries: 10_000, maxBytes: 16 * 1024 * 1024 } : null
  const namespaces = Object.fromEntries(
    Array.from({ length: NAMESPACES }, (_, index) => [
      `n${index}`,
      aNamespace(`n${index}`, { l1: index === UNHELD ? null : near }),
    ]),
  )
  const models = Array.from({ length: trials }, (_, trial) => {
    const source: Source = {
      kind: 'truth',
      reads: 'page',
      strategies: ['all'],
      async *select({ tenant }) {
        const version = await truth.read(trial)
        // Short ones are done before a reader has filled the row; over long ones an invalidation comes.
        await pause(random() * (random() < 0.5 ? loadMs / 20 : loadMs))
        yield [{ id: trial, row: { id: trial, of: trial, version }, version: null, tenant: tenant ?? null }]
      },
    }
    return aModel(`s${trial}`, source, { namespace: `n${trial % NAMESPACES}`, tenant: trial % 3 === 0, join: [] })
  })
  return aConfig(url, models, { prefix, namespaces, tenantLabel: 'org', heartbeatMs })
}

export interface OutsideOptions {
  l1: boolean
  /** of the config, as the processes have it */
  heartbeatMs?: number
  truth: Truth
  /** the longest that a warm run takes to load */
  loadMs: number
  trials: number
  seed: number
  naive?: Rewrite
  signal?: AbortSignal
}

export interface Outside {
  /** Two invalidations of what the trial reads, at random moments, while its rows are warmed. */
  run(plan: Plan, prefix: string): Promise<History>
  /** how often rows were written by a warm run */
  warmed(): number
  context(prefix: string): Promise<OpenedContext>
  /** The operation behind `cachectl invalidate`, or `version bump`, for this trial. */
  invalidate(
    plan: Pick<Plan, 'trial' | 'kind'>,
    prefix: string,
    pattern?: string,
  ): Promise<InvalidateReport | VersionBumpReport>
  close(): Promise<void>
}

/** The target that means the entry of a trial. */
export function targetOf(
  { trial, kind }: Pick<Plan, 'trial' | 'kind'>,
  prefix: string,
  pattern = `v1:*:s${trial}:*`,
): { text: string; tenant: string | null } {
  const place = placeOf({ trial, kind })
  const { namespace, subject, tenant, rest } = place
  const within = (text: string) => ({ text, tenant })
  const whole = (text: string) => ({ text, tenant: null })
  switch (kind) {
    case 'key':
      return whole(`key:${createKeys({ prefix, tenantLabel: 'org' }).build(place)}`)
    case 'tag':
    case 'late-tag':
      return within(`tag:g${trial}`)
    case 'namespace':
    case 'bump-namespace':
      return whole(`namespace:${namespace}`)
    case 'tenant-namespace':
      return within(`namespace:${namespace}`)
    case 'subject':
      return whole(`subject:${subject}`)
    case 'tenant-subject':
    case 'bump-tenant-subject':
      return within(`subject:${subject}`)
    case 'rest':
      return whole(`subject:${subject}:${rest.join(':')}`)
    case 'tenant':
    case 'bump-tenant':
      return whole(`tenant:${tenant}`)
    case 'global':
      return whole('all')
    case 'bump-global':
      return whole('global')
    case 'pattern':
    case 'live-pattern':
      return whole(`pattern:${prefix}:${pattern}`)
    case 'model':
    case 'bump-model':
      return within(subject)
    case 'row':
    case 'list':
      return within(`${subject}:${trial}`)
  }
}

/** A row, of a tenant where its model has tenants: other places of a model are none of its rows. */
export function isWarmed(plan: Pick<Plan, 'trial' | 'kind'>): boolean {
  const { rest, tenant } = placeOf(plan)
  const isRow = rest.length === 1 && !['tag', 'late-tag', 'list'].includes(plan.kind)
  return isRow && (plan.trial % 3 === 0) === (tenant !== null)
}

export function openOutside(url: string, options: OutsideOptions): Outside {
  const random = randomFromSeed(options.seed)
  const contexts = new Map<string, Promise<OpenedContext>>()
  let warmed = 0

  const contextOf = (prefix: string): Promise<OpenedContext> => {
    const known = contexts.get(prefix)
    if (known) return known
    const opened = (async () => {
      const config: ResolvedConfig = configOf(url, prefix, options, random)
      const redis = { url, from: 'the test', tls: null }
      const signal = options.signal ?? new AbortController().signal
      const context = await openContext({ loaded: { config, redis, file: null }, emit: () => {}, signal })
      if (options.l1) await settled(context, prefix)
      return options.naive ? { ...context, store: rewritingStore(context.store, options.naive) } : context
    })()
    contexts.set(prefix, opened)
    return opened
  }

  /** A hash of processes that is no younger than a heartbeat: otherwise each invalidation would wait that long. */
  const settled = async ({ store }: OpenedContext, prefix: string): Promise<void> => {
    const key = `${prefix}~processes`
    const deadlineMs = performance.now() + 30_000
    while (Number(await store.call('HLEN', key)) < 2) {
      if (performance.now() > deadlineMs) throw new Error('the processes did not register')
      await pause(5)
    }
    await store.call('HSET', key, 'created', Date.now() - 3_600_000)
  }

  const run: Outside['invalidate'] = async (plan, prefix, pattern) => {
    const context = await contextOf(prefix)
    const { text, tenant } = targetOf(plan, prefix, pattern)
    if (isBump(plan.kind))
      return versionBump(context, await planVersionBump(context, { target: text, tenant, allTenants: true }))
    const aim = { targets: [parseTarget(text, context.config)], tenant, foreign: false, allTenants: true }
    const plans = await planInvalidate(context, { ...aim, how: { kind: 'delete' }, exact: false, look: false })
    return invalidate(context, plans, 'max')
  }

  const warmOnce = async (plan: Plan, prefix: string): Promise<void> => {
    const context = await contextOf(prefix)
    const { subject, tenant } = placeOf(plan)
    const given = {
      targets: [subject],
      ...(tenant === null ? {} : { tenant }),
      concurrency: 1,
      batch: 100,
      ifLocked: 'skip' as const,
      dryRun: false,
    }
    const config = context.config as ResolvedConfig
    const report = await warm(context, context.control(), planWarm(config, given, Date.now()), given)
    warmed += report.totals.written
  }

  return {
    context: contextOf,
    invalidate: run,
    warmed: () => warmed,
    async run(plan, prefix) {
      const { trial, durationMs } = plan
      const canWarm = isWarmed(plan)
      const history = emptyHistory()
      await contextOf(prefix)
      let over = false
      // Often when an invalidation comes; less and less while it takes long, or a busy machine would do nothing else.
      let restMs = 5
      const warming = (async () => {
        while (!over && canWarm) {
          await warmOnce(plan, prefix)
          await pause(random() * restMs)
          restMs = Math.min(restMs * 2, 320)
        }
      })()
      try {
        for (let count = 0; count < 2; count++) {
          await pause(random() * durationMs * 0.15)
          const version = await options.truth.write(trial)
          // Keys carry tokens from then on.
          const bumps = plan.kind === 'live-pattern' && count === 0
          restMs = 5
          const { applied } = await run(bumps ? { trial, kind: 'bump-model' } : plan, prefix)
          const status = applied ? 'applied' : 'queued'
          history.invalidations.push({ trial, version, endMs: monotonicMs(), process: -1, status })
        }
      } finally {
        over = true
        await warming
      }
      return history
    },
    async close() {
      for (const context of contexts.values()) await (await context).close()
    },
  }
}
