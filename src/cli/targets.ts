// Targets of a command line, read against the config if there is one.
import { parseTarget, type Target } from '../core/target.ts'
import type { GlobalFlags } from './flags.ts'
import type { Session } from './session.ts'

/** @throws CachectlError USAGE, PATTERN_INVALID */
export async function parseTargets(
  session: Session,
  flags: GlobalFlags,
  texts: readonly string[],
): Promise<{ targets: Target[]; tenant: string | null }> {
  const { config } = await session.config(flags)
  const tenant = flags.tenant ?? null
  // Checked as the target that it is, with the same messages.
  if (tenant !== null) parseTarget(`tenant:${tenant}`, config)
  return { targets: texts.map((text) => parseTarget(text, config)), tenant }
}
