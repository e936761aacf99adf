// `policy check`: whether the servers are set to what the config says.
import type { ResolvedConfig } from '../config/resolved.ts'
import { CachectlError, EXIT, type ExitCode } from '../core/errors.ts'
import { type ComparedSetting, compareSettings, serverSnippet, type WantedServer } from '../core/server-policy.ts'
import type { OperationContext } from './context.ts'
import { type MasterSettings, type Refusal, readSettings } from './policy-settings.ts'
import { beginReport, type ReportBase } from './report-base.ts'

export interface MasterCheck {
  master: string
  /** `info`: CONFIG GET is refused, and INFO does not say everything */
  source: 'config' | 'info'
  /** how CONFIG GET was refused */
  refusal: Refusal | null
  settings: ComparedSetting[]
}

export interface PolicyCheckReport extends ReportBase {
  command: 'policy check'
  masters: MasterCheck[]
  /** settings that are not as the config says, and those of which the servers do not tell; over all masters */
  drift: number
  unknown: number
  exitCode: ExitCode
}

/** @throws CachectlError CONFIG_NOT_FOUND, CONFIG_INVALID where the config says nothing of the server */
export async function checkPolicy(context: OperationContext): Promise<PolicyCheckReport> {
  const report = await beginReport(context)
  const masters = await readSettings(context)
  const wanted = wantedOf(context.config, masters)
  const checks = masters.map(({ master, source, refusal, settings }): MasterCheck => {
    return { master, source, refusal, settings: compareSettings(wanted, settings) }
  })
  const count = (state: ComparedSetting['state']): number =>
    checks.flatMap(({ settings }) => settings).filter((one) => one.state === state).length
  const [drift, unknown] = [count('drift'), count('unknown')]
  // Drift that was seen is certain, whatever else could not be.
  const exitCode = drift > 0 ? EXIT.problems : unknown > 0 ? EXIT.partial : EXIT.done
  return {
    command: 'policy check',
    ...report(unknown === 0),
    ok: exitCode === EXIT.done,
    masters: checks,
    drift,
    unknown,
    exitCode,
  }
}

/** @throws CachectlError that says what to write: the servers' own settings */
export function wantedOf(config: ResolvedConfig | null, masters: readonly MasterSettings[]): WantedServer {
  const wanted = config?.server
  if (wanted && Object.values(wanted).some((value) => value !== null)) return wanted
  const [first] = masters
  const hint = `write, to hold it to what it is now: ${first ? serverSnippet(first.settings) : 'server: { … }'}`
  if (!config)
    throw new CachectlError(
      'CONFIG_NOT_FOUND',
      'there is no cache.config.* here or above: its `server` says what to set',
    )
  throw new CachectlError(
    'CONFIG_INVALID',
    'the config does not say what the server is to be set to: it has no `server`',
    {
      hint,
    },
  )
}
