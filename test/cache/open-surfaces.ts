// Functions, methods and fragments over a kernel on a real Redis, for their tests; closed together.
import { openStore } from '../../src/adapters/redis/store.ts'
import { createKernel } from '../../src/cache/create-kernel.ts'
import { createFragments } from '../../src/cache/fragments.ts'
import { createFunctions, type Registered } from '../../src/cache/functions.ts'
import type { Kernel } from '../../src/cache/kernel.ts'
import { createMethods } from '../../src/cache/methods.ts'
import { stampsOf } from '../../src/cache/policy.ts'
import type { Surface } from '../../src/cache/surface.ts'
import type { ResolvedNamespace } from '../../src/config/resolved.ts'
import { aConfig, aNamespace } from '../resolved.ts'

export interface Surfaces extends ReturnType<typeof surfacesOf> {
  kernel: Kernel
  /** what went to `onError` */
  errors: unknown[]
  /** the same in a tenant's handle */
  tenant(id: string): ReturnType<typeof surfacesOf>
}

const opened: (() => Promise<void>)[] = []

export async function closeSurfaces(): Promise<void> {
  for (const close of opened.splice(0).reverse()) await close()
}

export interface OpenOptions {
  production?: boolean
  namespaces?: Record<string, ResolvedNamespace>
}

/** What one process has: the namespaces are `user_data` and `fragment` (10 min, grace 1 min) and those given. */
export function openSurfaces(url: string, { production = false, namespaces = {} }: OpenOptions = {}): Surfaces {
  const errors: unknown[] = []
  const names = ['user_data', 'fragment']
  const config = aConfig(url, [], {
    namespaces: { ...Object.fromEntries(names.map((name) => [name, aNamespace(name, { beta: 0 })])), ...namespaces },
    tenantLabel: 'org',
  })
  const store = openStore({ url, from: 'the test', tls: null }, { connectTimeoutMs: 1_000, replyTimeoutMs: 1_000 })
  const kernel = createKernel({
    config,
    store,
    clock: Date,
    random: Math.random,
    counters: { count: () => {}, group: () => ({ count: () => {} }) },
    near: null,
    deadlineMs: 2_000,
    sourceConcurrency: 8,
    production,
    strict: false,
    onError: (error) => void errors.push(error),
  })
  opened.push(async () => {
    await kernel.close()
    await store.close()
  })
  const registered: Registered = new Map()
  const of = (tenant: string | null) => surfacesOf({ kernel, tenant: () => tenant }, registered)
  return { ...of(null), kernel, errors, tenant: of }
}

function surfacesOf(surface: Surface, registered: Registered) {
  return {
    ...createFunctions(surface, registered),
    ...createMethods(surface, registered),
    fragment: createFragments(surface),
    invalidateTag: (tag: string) => surface.kernel.invalidate({ stamps: stampsOf([tag], surface.tenant()) }),
  }
}
