// Options of a call to what the kernel needs: call over model over namespace over defaults (which the resolved config has put into its namespaces).
import type { Duration, Size } from '../config/define-config.ts'
import type { ResolvedConfig, ResolvedModel, ResolvedNamespace } from '../config/resolved.ts'
import { own } from '../core/declared.ts'
import { CachectlError } from '../core/errors.ts'
import { stampName } from '../core/key.ts'
import { printable } from '../core/printable.ts'
import { checkKinds, checkTags, durationOption, sizeOption } from './call-options.ts'
import { runWithContext } from './current-context.ts'
import type { Load, LoadControl, Policy } from './kernel.ts'
import { type StandardSchema, schemaCheck } from './standard-schema.ts'

export interface CallOptions {
  /** how long the entry is fresh (`'10m'`); `'never'`: without end */
  ttl?: Duration | 'never'
  /** how long it may be given as stale while it is made anew, or while its source fails */
  grace?: Duration
  /** 0 to 0.5: by which share of it the TTL is shortened at random */
  jitter?: number
  compress?: { above: Size } | false
  negativeTtl?: Duration | false
  timeout?: { soft?: Duration; hard?: Duration }
  beta?: number
  /** `org:7`: `invalidate({ tag: 'org:7' })` makes the entry unreachable. In a tenant's handle they are that tenant's. */
  tags?: readonly string[]
  /** gives a copy of one's own of what is in the memory of the process (false: the value itself, frozen) */
  clone?: boolean
  /** looks at what comes back (Standard Schema: zod, valibot, arktype …); what fails is a miss */
  schema?: StandardSchema
  /** the source's version (`updated_at`) now: an entry of another one is loaded anew */
  validateWith?: () => string | number | Date | null | undefined | Promise<string | number | Date | null | undefined>
}

/** What a loader is given beside its arguments. */
export interface LoaderContext {
  /** aborted at the hard timeout, and when the cache is closed */
  readonly signal: AbortSignal
  /** what is there, past its freshness; undefined where there is nothing */
  readonly stale: unknown
  ttl(ttl: Duration | 'never'): void
  grace(grace: Duration): void
  tags(...tags: readonly string[]): void
  /** the value is given, not cached */
  skip(): void
}

export function namespaceOf(config: ResolvedConfig, name: string): ResolvedNamespace {
  const namespace = typeof name === 'string' ? own(config.namespaces, name) : undefined
  if (namespace) return namespace
  const names = Object.keys(config.namespaces).join(', ')
  throw new CachectlError('USAGE', `the config has no namespace called \`${printable(String(name))}\``, {
    hint: `declare it under \`namespaces\`; there are: ${names || 'none'}`,
  })
}

/** Of options whose names were looked at. @throws CachectlError USAGE for values that they cannot have */
export function policyOf(
  namespace: ResolvedNamespace,
  options: CallOptions = {},
  tenant: string | null = null,
  model?: Pick<ResolvedModel, 'graceMs' | 'jitter'>,
): Policy {
  checkKinds(options)
  const { compress, negativeTtl, timeout } = options
  return {
    ttlMs: options.ttl === undefined ? namespace.ttlMs : ttlMsOf(options.ttl),
    graceMs:
      options.grace === undefined ? (model?.graceMs ?? namespace.graceMs) : durationOption('grace', options.grace),
    jitter: options.jitter ?? model?.jitter ?? namespace.jitter,
    compressAboveBytes:
      compress === undefined
        ? namespace.compressAboveBytes
        : compress === false
          ? null
          : sizeOption('compress.above', compress.above),
    negativeTtlMs:
      negativeTtl === undefined
        ? namespace.negativeTtlMs
        : negativeTtl === false
          ? null
          : durationOption('negativeTtl', negativeTtl),
    beta: options.beta ?? namespace.beta,
    softTimeoutMs: timeout?.soft === undefined ? namespace.softTimeoutMs : durationOption('timeout.soft', timeout.soft),
    hardTimeoutMs: timeout?.hard === undefined ? namespace.hardTimeoutMs : durationOption('timeout.hard', timeout.hard),
    stamps: options.tags === undefined ? [] : stampsOf(options.tags, tenant),
    clone: options.clone ?? false,
    check: options.schema === undefined ? null : schemaCheck(options.schema),
    accept: null,
  }
}

/** Names of the stamps of these tags of an entry, each once. @throws CachectlError USAGE, KEY_INVALID for what are no tags, and for more than an entry holds */
export function stampsOf(tags: readonly string[], tenant: string | null): string[] {
  checkTags(tags)
  return [...new Set(tags)].map((tag) => stampName('tag', tag, tenant))
}

export function ttlMsOf(ttl: Duration | 'never'): number | null {
  return ttl === 'never' ? null : durationOption('ttl', ttl)
}

/** A loader as an application writes it, as the kernel calls it. */
export function asLoad(loader: (context: LoaderContext) => unknown, tenant: string | null): Load {
  return (control) => {
    const context = loaderContext(control, tenant)
    return runWithContext(context, () => loader(context))
  }
}

export function loaderContext(control: LoadControl, tenant: string | null): LoaderContext {
  const named: string[] = []
  return {
    signal: control.signal,
    stale: control.stale?.value,
    ttl: (ttl) => control.ttlMs(ttlMsOf(ttl)),
    grace: (grace) => control.graceMs(durationOption('grace', grace)),
    tags(...tags) {
      // One by one they may come to more than an entry holds.
      named.push(...tags.filter((tag) => !named.includes(tag)))
      checkTags(named)
      control.stamps(stampsOf(tags, tenant))
    },
    skip: () => control.skip(),
  }
}
