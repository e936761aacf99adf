// stub
import type { ResolvedConfig } from '../config/resolved.ts'
import type { OperationContext } from './context.ts'
export interface RightsReport {
  user: string | null
  verbs: { verb: string; missing: string[] }[]
  lines: { group: string; line: string }[]
}
export async function checkRights(_context: OperationContext, _config: ResolvedConfig): Promise<RightsReport> {
  return { user: null, verbs: [], lines: [] }
}
