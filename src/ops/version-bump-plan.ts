// What a bump will do, before it does it: which scopes get a new generation or version, and what is out of reach then.
import type { Change } from '../cache/kernel.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'
import { printable } from '../core/printable.ts'
import type { Danger } from '../core/safeguards.ts'
import type { Target } from '../core/target.ts'
import { type Aim, courseOf, decideFor } from './changes.ts'
import type { OperationContext } from './context.ts'
import { checkAim } from './invalidate-plan.ts'
import { type Preview, preview } from './preview.ts'
import { examineLive } from './version-dead.ts'
import type { RawVersion } from './version-raw.ts'
import { rawVersionsOf } from './version-raw-bump.ts'
import { checkTenant, parseVersionTarget, type ScopeName, scopeNameOf, VERSION_FORMS } from './version-scopes.ts'
import { requireConfig } from './version-state.ts'

export interface VersionBumpOptions {
  /** `global`, `namespace:list` … */
  target: string | null
  tenant: string | null
  /** a model with tenants means all of them */
  allTenants: boolean
}

export interface VersionBumpPlan {
  target: string
  tenant: string | null
  /** null: nothing of cachectl's own is bumped */
  change: Change | null
  /** scopes that get a new generation; those of dependent models too */
  scopes: readonly ScopeName[]
  /** versions of other software */
  raw: readonly RawVersion[]
  /** what is out of reach then */
  preview: Preview
  danger: Danger
}

/** @throws CachectlError USAGE, REFUSED where `protect` forbids it; of Redis */
export async function planVersionBump(
  context: OperationContext,
  options: VersionBumpOptions,
): Promise<VersionBumpPlan> {
  const config = requireConfig(context)
  const { tenant, allTenants } = options
  if (options.target === null)
    throw new CachectlError('USAGE', 'nothing is named to bump', { hint: `name one of ${VERSION_FORMS}` })
  const target = parseVersionTarget(options.target, config)
  checkTenant(target, tenant, config)
  const aimed: Target = target.kind === 'global' ? { kind: 'all', text: 'all' } : target
  const aim: Aim = { targets: [aimed], tenant, foreign: false }
  checkAim({ ...aim, allTenants, byTag: false }, config)
  const raw = await rawVersionsOf(context, target, tenant)
  const change = isRawNamespace(aimed, config) ? null : changeOf(aim, config)
  const base = decideFor(aim, config)
  const examine = examineLive(context.store, config)
  const found = await preview(context, { decide: base, examine, exact: false })
  return {
    target: printable(target.text),
    tenant,
    change,
    scopes: (change?.scopes ?? []).map((scope) => scopeNameOf(scope, config)),
    raw,
    preview: found,
    danger: {
      typed: config.prefix,
      everything: target.kind === 'global',
      production: config.env === 'production',
      keys: found.keys,
      share: found.share,
    },
  }
}

function isRawNamespace(target: Target, { namespaces }: ResolvedConfig): boolean {
  return target.kind === 'namespace' && namespaces[target.namespace]?.format === 'raw'
}

function changeOf(aim: Aim, config: ResolvedConfig): Change {
  const { change } = courseOf(aim, config)
  if (change !== null) return change
  throw new CachectlError(
    'REFUSED',
    `\`protect\` has ${config.protect.map((pattern) => printable(pattern)).join(', ')}: it may spare some of these keys, and a generation spares none`,
    {
      hint: `cachectl invalidate ${aim.targets.map(({ text }) => `'${printable(text)}'`).join(' ')} deletes the others key by key`,
    },
  )
}
