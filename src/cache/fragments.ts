// cache.fragment: pieces of pages and other text or bytes, by name and by what they depend on.
import { CachectlError } from '../core/errors.ts'
import { idText } from '../core/key.ts'
import { optionNames, refuseUnknown } from '../core/option-names.ts'
import { printable } from '../core/printable.ts'
import { argumentsRest } from './arguments-key.ts'
import { CALL_OPTIONS } from './call-options.ts'
import { runWithContext } from './current-context.ts'
import { envelopeNamespace } from './envelope-namespace.ts'
import type { Invalidated, Load, Place } from './kernel.ts'
import { type CallOptions, type LoaderContext, loaderContext, policyOf } from './policy.ts'
import type { Surface } from './surface.ts'
import { loadValidated } from './validation.ts'

export interface FragmentOptions<Namespace extends string = string> extends CallOptions {
  /** (`fragment`, where the config declares it) */
  namespace?: Namespace
}

type Render<T> = (context: LoaderContext) => T | Promise<T>

/** A method, so that what takes fragments of any namespace is given those of some: parameters of methods are compared both ways. */
interface Rendering<Namespace extends string> {
  /**
   * The fragment of this name for these parts (whatever the text depends on: ids, language, a filter), rendered where it is not cached.
   * @throws CachectlError USAGE where `render` gives neither text nor bytes
   */
  render(
    name: string,
    parts: readonly unknown[],
    render: Render<string>,
    options?: FragmentOptions<Namespace>,
  ): Promise<string>
  /** Bytes are given as a Buffer, on a hit and on a miss. */
  render(
    name: string,
    parts: readonly unknown[],
    render: Render<Uint8Array>,
    options?: FragmentOptions<Namespace>,
  ): Promise<Buffer>
}

export type Fragment<Namespace extends string = string> = Rendering<Namespace>['render'] & {
  /** Makes the fragment of these parts unreachable. */
  invalidate(
    name: string,
    parts: readonly unknown[],
    options?: Pick<FragmentOptions<Namespace>, 'namespace'>,
  ): Promise<Invalidated>
  /** All fragments of this name: of the tenant, in a tenant's handle or work; of all tenants otherwise. */
  invalidateAll(name: string): Promise<Invalidated>
}

const INVALIDATE_OPTIONS = optionNames<Pick<FragmentOptions, 'namespace'>>({ namespace: true })
const FRAGMENT_OPTIONS: ReadonlySet<string> = new Set([...CALL_OPTIONS, ...INVALIDATE_OPTIONS])

export function createFragments(surface: Surface): Fragment {
  const placeOf = (name: string, parts: readonly unknown[], namespace: string): Place => {
    if (!Array.isArray(parts))
      throw new CachectlError('USAGE', `the parts of the fragment ${printable(name)} are no list`)
    return {
      namespace,
      subject: subjectOf(name),
      version: surface.kernel.config.version,
      tenant: surface.tenant(),
      rest: argumentsRest(parts, `the fragment ${name}`),
    }
  }
  const namespaceNamed = (name = 'fragment') => envelopeNamespace(surface.kernel.config, name)

  const fragment = async (
    name: string,
    parts: readonly unknown[],
    render: Render<string | Uint8Array>,
    options: FragmentOptions = {},
  ): Promise<string | Uint8Array> => {
    if (typeof render !== 'function')
      throw new CachectlError('USAGE', `the fragment ${printable(name)} has no render function`)
    refuseUnknown(options, FRAGMENT_OPTIONS, 'a fragment')
    const namespace = namespaceNamed(options.namespace)
    const place = placeOf(name, parts, namespace.name)
    const policy = policyOf(namespace, options, place.tenant)
    const load: Load = async (control) => {
      const context = loaderContext(control, place.tenant)
      return rendered(await runWithContext(context, () => render(context)), name)
    }
    const { value } = await loadValidated(surface.kernel, place, policy, load, options.validateWith)
    return value as string | Uint8Array
  }
  return Object.assign(fragment as Fragment, {
    invalidate: async (name: string, parts: readonly unknown[], options: { namespace?: string } = {}) => {
      refuseUnknown(options, INVALIDATE_OPTIONS, 'fragment.invalidate')
      const place = placeOf(name, parts, namespaceNamed(options.namespace).name)
      return surface.kernel.invalidate({ entries: [place] })
    },
    invalidateAll: async (name: string) => {
      const subject = subjectOf(name)
      const tenant = surface.tenant()
      const scope =
        tenant === null
          ? ({ kind: 'subject', subject } as const)
          : ({ kind: 'tenant-subject', tenant, subject } as const)
      return surface.kernel.invalidate({ scopes: [scope] })
    },
  })
}

function subjectOf(name: string): string {
  return `@frag.${idText(name)}`
}

/** Bytes as a Buffer: what comes back from Redis is one too. */
function rendered(value: unknown, name: string): string | Buffer {
  if (typeof value === 'string') return value
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const what = value === null ? 'null' : `a value of type ${typeof value}`
  throw new CachectlError('USAGE', `the fragment ${printable(name)} was rendered as ${what}`, {
    hint: 'give text, a Buffer or a Uint8Array; cache other values with cache.getOrSet',
  })
}
