// The command line beside running processes: the operation behind `cachectl invalidate` for each kind of trial, with warms of the same rows under way.
import { setTimeout as pause } from 'node:timers/promises'
import type { ResolvedConfig } from '../../src/config/resolved.ts'
import { createKeys } from '../../src/core/key.ts'
import { parseTarget } from '../../src/core/target.ts'
import { type OpenedContext, openContext } from '../../src/ops/context.ts'
import { invalidate } from '../../src/ops/invalidate.ts'
import { planInvalidate } from '../../src/ops/invalidate-plan.ts'
import type { InvalidateReport } from '../../src/ops/invalidate-report.ts'
import { warm } from '../../src/ops/warm.ts'
import { planWarm } from '../../src/ops/warm-plan.ts'
import type { CommandArgument, Lane, Source, Store } from '../../src/ports.ts'
import { aConfig, aModel, aNamespace } from '../resolved.ts'
import { randomFromSeed } from '../seed.ts'
import { emptyHistory, type History, monotonicMs } from './history.ts'
import { NAMESPACES, type Plan, placeOf, type Truth, UNHELD } from './trial.ts'

type Command = readonly CommandArgument[]

/** What is sent instead of a command. */
export type Rewrite = (command: Command) => Command

const NOTHING: Command = ['EXISTS', 'no such key']
const startsWith = (argument: CommandArgument | undefined, part: string) => String(argument).includes(part)

/** Each leaves out one thing that an invalidation does. */
export const NAIVE_CLI = {
  'leases stay': (command) => (command[0] === 'UNLINK' && startsWith(command[1], '~lease:') ? NOTHING : command),
  'nobody is told': (command) => command.map((part) => (startsWith(part, '~processes') ? 'elsewhere' : part)),
  'no advance': (command) => (command[0] === 'EVAL' && command[5] === 'HSET' ? NOTHING : command),
  'stamps stay': (command) => (command[0] === 'UNLINK' && startsWith(command[1], '~stamp:') ? NOTHING : command),
  'no bump': (command) =>
    command[0] === 'EVAL' && command[2] === 3 ? [...command.slice(0, 3), 'elsewhere', ...command.slice(4)] : command,
} satisfies Record<string, Rewrite>

function rewritingLane(lane: Lane, rewrite: Rewrite): Lane {
  return new Proxy(lane, {
    get(target, name) {
      if (name !== 'page') {
        const value = Reflect.get(target, name, target) as unknown
        return typeof value === 'function' ? value.bind(target) : value
      }
      return () => {
        const page = target.page()
        const add = page.add.bind(page)
        page.add = (...command) => add(...rewrite(command))
        return page
      }
    },
  })
}

function rewritingStore(store: Store, rewrite: Rewrite): Store {
  return {
    identity: () => store.identity(),
    info: () => store.info(),
    layout: () => store.layout(),
    history: () => store.history(),
    callEach: (...command) => store.callEach(...command),
    supports: (command) => store.supports(command),
    close: () => store.close(),
    lane: async (options) => rewritingLane(await store.lane(options), rewrite),
    call: (...command) => store.call(...rewrite(command)),
    async masters() {
      const masters = await store.masters()
      return masters.map((master) => ({
        id: master.id,
        lane: async (options) => rewritingLane(await master.lane(options), rewrite),
      }))
    },
  }
}

/** As the processes have it, and each subject a model too, whose rows are the truth. */
function configOf(url: string, prefix: string, { l1, loadMs, truth, trials }: OutsideOptions, random: () => number) {
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
  return aConfig(url, models, { prefix, namespaces, tenantLabel: 'org' })
}

export interface OutsideOptions {
  l1: boolean
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
  /** The operation behind `cachectl invalidate`, for this trial. */
  invalidate(plan: Pick<Plan, 'trial' | 'kind'>, prefix: string, count?: number): Promise<InvalidateReport>
  close(): Promise<void>
}

/** The target that means the entry of a trial. */
export function targetOf(
  { trial, kind }: Pick<Plan, 'trial' | 'kind'>,
  prefix: string,
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
      return whole(`namespace:${namespace}`)
    case 'tenant-namespace':
      return within(`namespace:${namespace}`)
    case 'subject':
      return whole(`subject:${subject}`)
    case 'tenant-subject':
      return within(`subject:${subject}`)
    case 'rest':
      return whole(`subject:${subject}:${rest.join(':')}`)
    case 'tenant':
      return whole(`tenant:${tenant}`)
    case 'global':
      return whole('all')
    case 'pattern':
    case 'live-pattern':
      return whole(`pattern:${prefix}:v1:*:${subject}:*`)
    case 'model':
      return within(subject)
    case 'row':
    case 'list':
      return within(`${subject}:${trial}`)
  }
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
    const deadlineMs = performance.now() + 5_000
    while (Number(await store.call('HLEN', key)) < 2) {
      if (performance.now() > deadlineMs) throw new Error('the processes did not register')
      await pause(5)
    }
    await store.call('HSET', key, 'created', Date.now() - 3_600_000)
  }

  const run = async (plan: Pick<Plan, 'trial' | 'kind'>, prefix: string, count = 0): Promise<InvalidateReport> => {
    const context = await contextOf(prefix)
    const { kind, trial } = plan
    // Keys carry tokens from then on.
    const bumps = kind === 'live-pattern' && count === 0
    const { text, tenant } = targetOf(bumps ? { trial, kind: 'subject' } : plan, prefix)
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
      const history = emptyHistory()
      await contextOf(prefix)
      let over = false
      const isRow = placeOf(plan).rest.length === 1 && !['tag', 'late-tag', 'list'].includes(plan.kind)
      // A row of a tenant is warmed for it; other places of a model with tenants are none of its rows.
      const canWarm = isRow && (trial % 3 === 0) === (placeOf(plan).tenant !== null)
      const warming = (async () => {
        while (!over && canWarm) {
          await warmOnce(plan, prefix)
          await pause(random() * 5)
        }
      })()
      try {
        for (let count = 0; count < 2; count++) {
          await pause(random() * durationMs * 0.15)
          const version = await options.truth.write(trial)
          const { applied } = await run(plan, prefix, count)
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
