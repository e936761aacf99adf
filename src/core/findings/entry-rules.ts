// What is found in what was cached, and in the control data that decides whether it counts: entries, rows, history, processes, journal.
import { shellWord } from '../shell-word.ts'
import { formatCount, formatDuration, formatPercent } from '../units.ts'
import { listed, type Rule } from './rule.ts'

const MANY_OF_ANOTHER = { entries: 10, share: 0.1 }
/** What was emptied longer ago is warm again, or has another trouble. */
const FLUSHED_MS = 3_600_000
/** Rows that are named one by one in a command. */
const FEW_ROWS = 3

export const ENTRY_RULES: readonly Rule[] = [
  {
    id: 'incarnation-missing',
    severity: 'warning',
    check: 'control',
    troubles: ['misses', 'invalidation'],
    threshold: 'entries are there, and no control data that says to which history they belong',
    advice:
      'it was evicted, flushed, or never written: no read accepts these entries; the next process or warm makes a new one, and they are filled anew',
    next: 'cachectl warm',
    find: ({ checked: { control } }) =>
      control?.missing && control.entries > 0
        ? `${formatCount(control.entries)} entries, no incarnation in the hash of generations`
        : null,
  },
  {
    id: 'flushed',
    severity: 'warning',
    check: 'control',
    troubles: ['misses'],
    threshold: `the server has counted a FLUSHALL or FLUSHDB, and there is no control data, or none older than ${formatDuration(FLUSHED_MS)}`,
    advice:
      'somebody may have emptied it, queues, sessions and locks of others with it: warm what is critical first, and take these commands from those who do not need them',
    next: 'cachectl warm --critical --missing',
    find: ({ checked: { control } }) => {
      if (control === undefined || control.flushes === 0) return null
      const { flushes, missing, entries, ageMs } = control
      if (!missing && (ageMs === null || ageMs > FLUSHED_MS)) return null
      const times = flushes === 1 ? 'once' : `${formatCount(flushes)} times`
      const left = missing
        ? `of this cache there is ${entries === 0 ? 'nothing' : 'no control data'}`
        : `the control data of this cache is ${formatDuration(ageMs as number)} old`
      return `FLUSHALL or FLUSHDB, called ${times} since the statistics of the server began; ${left}`
    },
  },
  {
    id: 'other-history',
    severity: 'warning',
    check: 'control',
    troubles: ['misses', 'stale'],
    threshold: 'the server has another replication id than the one under which its entries were written',
    advice:
      'it was restored, replaced or failed over, and invalidations may be missing in it: the next process that connects makes all entries misses; until then none has looked',
    next: 'cachectl warm',
    find: ({ checked: { control } }) =>
      control?.otherHistory ? `written under ${control.otherHistory.known}, now ${control.otherHistory.now}` : null,
  },
  {
    id: 'other-incarnation',
    severity: 'warning',
    check: 'entries',
    troubles: ['misses', 'memory'],
    threshold: `at least ${MANY_OF_ANOTHER.entries} sampled entries, and ${formatPercent(MANY_OF_ANOTHER.share)} of them, are of another incarnation`,
    advice:
      'control data was lost since they were written (eviction, FLUSHALL, failover), so no read accepts them: warm again',
    next: 'cachectl warm',
    find: ({ checked: { entries } }) => {
      if (entries === undefined || entries.otherIncarnation < MANY_OF_ANOTHER.entries) return null
      if (entries.otherIncarnation < MANY_OF_ANOTHER.share * entries.headers) return null
      return `${formatCount(entries.otherIncarnation)} of ${formatCount(entries.headers)} sampled entries`
    },
  },
  {
    id: 'undecodable',
    severity: 'warning',
    check: 'entries',
    troubles: ['misses'],
    threshold: 'a sampled entry that cannot be decoded',
    advice: 'each read of it is a miss: another program writes to this namespace, or a process of a later version',
    next: 'cachectl why <key>',
    find: ({ checked: { entries } }) => {
      const [first] = entries?.undecodable ?? []
      if (entries === undefined || first === undefined) return null
      const some = entries.undecodable.map(({ key, reason }) => `${key} (${reason})`)
      return {
        evidence: `${formatCount(some.length)} of ${formatCount(entries.headers)} sampled entries: ${listed(some, 3)}`,
        next: `cachectl why ${shellWord(first.key)}`,
      }
    },
  },
  {
    id: 'tenant-mixed',
    severity: 'critical',
    check: 'tenants',
    troubles: ['invalidation'],
    threshold: "a sampled row that belongs to another tenant than its key, by the model's own source",
    advice:
      "somebody sees another tenant's data: invalidate the model in both, and find who writes it under the wrong one",
    next: 'cachectl invalidate <model> --tenant <id>',
    find: ({ checked: { tenants } }) => {
      const [first] = tenants?.misplaced ?? []
      if (tenants === undefined || first === undefined) return null
      const some = tenants.misplaced.map(({ key, belongsTo }) => `${key} holds a row of tenant ${belongsTo}`)
      return {
        evidence: `${formatCount(some.length)} of ${formatCount(tenants.rows)} sampled rows: ${listed(some, 3)}`,
        next: `cachectl invalidate ${shellWord(first.model)} --tenant ${shellWord(first.tenant)}`,
      }
    },
  },
  {
    id: 'stale-rows',
    severity: 'warning',
    check: 'source',
    troubles: ['stale', 'invalidation'],
    threshold: 'with --source: a sampled entry that reads would give, whose row has changed or is gone',
    advice: 'its row was changed without an invalidation: invalidate it now, and let what changes rows do so',
    next: 'cachectl invalidate <model>:<id>',
    find: ({ checked: { source } }) => {
      const [first] = source?.stale ?? []
      if (source === undefined || first === undefined) return null
      const some = source.stale.map(({ key, why }) => `${key} (its row ${why === 'gone' ? 'is gone' : 'has changed'})`)
      const named = source.stale.length <= FEW_ROWS && source.stale.every(({ tenant }) => tenant === first.tenant)
      const targets = named ? source.stale.map(({ target }) => target) : [first.model]
      const tenant = first.tenant === null ? '' : ` --tenant ${shellWord(first.tenant)}`
      return {
        evidence: `${formatCount(some.length)} of ${formatCount(source.rows)} compared rows: ${listed(some, 3)}`,
        next: `cachectl invalidate ${targets.map(shellWord).join(' ')}${tenant}`,
      }
    },
  },
  {
    id: 'warm-old',
    severity: 'warning',
    check: 'entries',
    troubles: ['stale', 'misses'],
    threshold: 'a model with `warm` whose newest sampled entry is older than its TTL',
    advice: 'its warm run has not come, or did not succeed: look at the job that starts it',
    next: 'cachectl warm <model>',
    find: ({ checked: { entries } }) => {
      const [first] = entries?.oldWarms ?? []
      if (entries === undefined || first === undefined) return null
      const models = entries.oldWarms.map(
        ({ model, newestAgeMs, ttlMs, read }) =>
          `the newest of ${formatCount(read)} entries of ${model} is ${formatDuration(newestAgeMs)} old (TTL ${formatDuration(ttlMs)})`,
      )
      return { evidence: listed(models, 3), next: `cachectl warm ${shellWord(first.model)}` }
    },
  },
  {
    id: 'cheap-loads',
    severity: 'info',
    check: 'entries',
    troubles: [],
    threshold: 'a group whose values took less time to load than they take to fetch from here',
    advice: 'caching it saves nothing, unless the source must be spared: measure it where the application runs',
    next: 'cachectl stats --by model',
    find: ({ checked: { entries } }) =>
      entries === undefined || entries.cheap.length === 0
        ? null
        : listed(
            entries.cheap.map(
              ({ group, loadMs, fetchMs }) =>
                `${group}: ${loadMs.toFixed(2)} ms to load, ${fetchMs.toFixed(2)} ms to fetch`,
            ),
            3,
          ),
  },
  {
    id: 'process-silent',
    severity: 'warning',
    check: 'processes',
    troubles: ['invalidation'],
    threshold: 'a process that holds copies in its memory, and has said nothing for over a heartbeat',
    advice:
      'it was ended without saying so, or hangs: invalidations wait for its time to lapse, and it forgets its copies by then; it leaves the list after three heartbeats',
    next: 'cachectl doctor',
    find: ({ checked: { processes } }) =>
      processes === undefined || processes.silent.length === 0
        ? null
        : `${formatCount(processes.silent.length)} of ${formatCount(processes.registered)}: ${listed(processes.silent)}`,
  },
  {
    id: 'unfinished-runs',
    severity: 'warning',
    check: 'journal',
    troubles: ['invalidation', 'stale'],
    threshold: 'a run of the last day that failed, or was cut off before it wrote its result',
    advice: 'what it was to change may be changed in part: run it again, it is safe to repeat',
    next: 'cachectl history',
    find: ({ checked: { journal } }) =>
      journal === undefined || journal.unfinished.length === 0
        ? null
        : listed(
            journal.unfinished.map(({ verb, what, at, state }) => `${verb} ${what} (${state}, ${at})`),
            3,
          ),
  },
]
