// `doctor`: what is wrong with a cache and its server, by which evidence, and what to type next. Reads only, and leaves nothing behind.
import { diagnose, type Facts, FINDINGS, type Finding, type Health } from '../core/diagnose.ts'
import { type CachectlError, EXIT, type ExitCode, worstExit } from '../core/errors.ts'
import { CHECKS, type CheckId, TROUBLES, type Trouble } from '../core/findings/checks.ts'
import { NOTHING_KNOWN } from '../core/findings/facts.ts'
import type { RedisIdentity } from '../ports.ts'
import type { OperationContext } from './context.ts'
import { type CheckReport, createChecks } from './doctor-checks.ts'
import { type DoctorOptions, type Look, lookAtAll } from './doctor-look.ts'
import type { RightsReport } from './doctor-rights.ts'
import { type OpenedMaster, readInfos } from './doctor-servers.ts'
import type { ReportBase } from './report-base.ts'
import { collectFacts, failedSaves, serverFacts } from './stats-facts.ts'

export type { DoctorOptions } from './doctor-look.ts'

export const WITHIN_MS = 5_000

export interface DoctorReport extends ReportBase {
  command: 'doctor'
  prefix: string | null
  checks: CheckReport[]
  /** what people come with, and what was found of it */
  troubles: TroubleReport[]
  /** worst first */
  findings: Finding[]
  health: Health
  /** null where rights could not be checked */
  acl: RightsReport | null
  scan: DoctorScan | null
  exitCode: ExitCode
}

export interface TroubleReport {
  trouble: Trouble
  question: string
  /** ids of findings */
  findings: string[]
  /** checks that could have found something, by whether they were made */
  lookedAt: CheckId[]
  notLookedAt: CheckId[]
}

export interface DoctorScan {
  method: 'full' | 'sample'
  visited: number
  population: number | null
  /** what this run added to keyspace_hits and keyspace_misses while it walked over keys */
  hitsAdded: number
  missesAdded: number
  headersRead: number
  durationMs: number
}

/** When the signal is aborted it reports what it has seen, with `complete: false`. */
export async function doctor(context: OperationContext, options: DoctorOptions): Promise<DoctorReport> {
  const startedAtMs = context.clock.now()
  const checks = createChecks(context.signal)
  const opened = await open(context)
  const { masters } = opened
  const look: Look = {
    context,
    options,
    checks,
    checked: { connection: { failure: null } },
    control: null,
    walk: null,
    sample: null,
    rights: null,
    ...opened,
  }
  try {
    await checks.make('connection', () => `${look.redis.version ?? 'a server'} answers`)
    await lookAtAll(look)
  } finally {
    for (const { lane } of masters) lane.close()
  }
  if (checks.lost !== null) look.checked.connection = { failure: checks.lost }
  return finish(look, startedAtMs)
}

/** The report where the server could not be reached, or has not let us in. `url` without secrets, as `redactUrl` has it. */
export function unreachableDoctor(
  { clock, config }: Pick<OperationContext, 'clock' | 'config'>,
  { url, from }: { url: string; from: string },
  error: CachectlError,
): DoctorReport {
  const checks = createChecks(AbortSignal.abort())
  for (const id of Object.keys(CHECKS) as CheckId[]) checks.skip(id, 'there is no connection')
  const unknown = { role: 'unknown', mode: 'standalone', version: null, runId: null, replicationId: null } as const
  const facts = { ...NOTHING_KNOWN, checked: { connection: { failure: error } } }
  const made = checks
    .finish()
    .map((check) => (check.id === 'connection' ? { ...check, made: true, saw: 'it failed' } : check))
  return {
    ...describe(facts, made, error),
    complete: true,
    dryRun: false,
    startedAt: new Date(clock.now()).toISOString(),
    durationMs: 0,
    redis: { ...placeIn(url), from, ...unknown },
    prefix: config?.prefix ?? null,
    acl: null,
    scan: null,
  }
}

/** `rediss://***@db.example.com:6379/2`, `unix:/run/redis.sock?db=2` */
function placeIn(url: string): Pick<RedisIdentity, 'endpoint' | 'database'> {
  const [, endpoint = url, database = '0'] = /^(?:[a-z+]+:\/\/(?:\*{3}@)?)?(.*?)(?:(?:\/|\?db=)(\d+))?$/.exec(url) ?? []
  return { endpoint, database: Number(database) }
}

/** @throws CachectlError */
async function open({ store }: OperationContext): Promise<Pick<Look, 'redis' | 'info' | 'infos' | 'masters'>> {
  const [redis, info, infos] = [await store.identity(), await store.info(), await readInfos(store)]
  const masters: OpenedMaster[] = []
  for (const master of await store.masters())
    masters.push({ id: master.id, lane: await master.lane({ noTouch: true }) })
  return { redis, info, infos, masters }
}

function finish(look: Look, startedAtMs: number): DoctorReport {
  const { checks, context, info, redis, rights, sample, walk } = look
  const { clock, config, signal } = context
  const made = checks.finish()
  return {
    ...describe(factsOf(look), made, checks.lost),
    complete: !signal.aborted,
    dryRun: false,
    startedAt: new Date(startedAtMs).toISOString(),
    durationMs: clock.now() - startedAtMs,
    redis,
    prefix: config?.prefix ?? null,
    acl: rights,
    scan:
      walk === null
        ? null
        : {
            method: walk.counted.method,
            visited: walk.counted.visited,
            population: info.keys,
            hitsAdded: walk.counted.counter.lookups.hits,
            missesAdded: walk.counted.counter.lookups.misses,
            headersRead: sample?.headers ?? 0,
            durationMs: walk.counted.durationMs,
          },
  }
}

function factsOf({ checked, context, info, infos, redis, walk }: Look): Facts {
  const several = infos.length > 1
  const facts =
    walk === null
      ? serverFacts(redis, info, null)
      : collectFacts({ config: context.config, redis, info, counted: walk.counted, now: null, tellsEveryModel: true })
  return {
    ...facts,
    checked,
    failedSaves: infos.flatMap(({ id, fields }) =>
      failedSaves(fields).map((text) => (several ? `${id}: ${text}` : text)),
    ),
  }
}

function describe(
  facts: Facts,
  checks: CheckReport[],
  lost: CachectlError | null,
): Pick<DoctorReport, 'command' | 'ok' | 'checks' | 'troubles' | 'findings' | 'health' | 'exitCode'> {
  const health = diagnose(facts)
  const exitCode = worstExit([
    ...(health.status === 'critical' ? [EXIT.problems] : []),
    ...(lost ? [lost.exitCode] : []),
  ])
  return {
    command: 'doctor',
    ok: exitCode === EXIT.done,
    checks,
    troubles: troublesOf(health, checks),
    findings: health.findings,
    health,
    exitCode,
  }
}

function troublesOf({ findings }: Health, checks: readonly CheckReport[]): TroubleReport[] {
  const made = new Set(checks.filter((check) => check.made).map(({ id }) => id))
  return (Object.keys(TROUBLES) as Trouble[]).map((trouble) => {
    const rules = FINDINGS.filter((rule) => rule.troubles.includes(trouble))
    const concerned = checks.map(({ id }) => id).filter((id) => rules.some((rule) => rule.check === id))
    return {
      trouble,
      question: TROUBLES[trouble],
      findings: findings.map(({ id }) => id).filter((id) => rules.some((rule) => rule.id === id)),
      lookedAt: concerned.filter((id) => made.has(id)),
      notLookedAt: concerned.filter((id) => !made.has(id)),
    }
  })
}
