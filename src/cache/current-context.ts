// The context of the load under way, for functions that keep their own parameters: `cache.context()?.ttl('5m')`.
import { AsyncLocalStorage } from 'node:async_hooks'
import type { LoaderContext } from './policy.ts'

const contexts = new AsyncLocalStorage<LoaderContext>()

/** Of the innermost load that this code runs in; undefined outside of loads. */
export function currentContext(): LoaderContext | undefined {
  return contexts.getStore()
}

/** Runs the loader so that `currentContext` gives its own context within it, and not that of a load around it. */
export function runWithContext<T>(context: LoaderContext, loader: () => T): T {
  return contexts.run(context, loader)
}
