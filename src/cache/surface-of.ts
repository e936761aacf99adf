// The surface behind a handle of the cache, for what is built on it outside of this layer.
import { CachectlError } from '../core/errors.ts'
import type { Surface } from './surface.ts'

const SURFACES = new WeakMap<object, Surface>()

/** Gives the handle back. */
export function keepSurface<Handle extends object>(handle: Handle, surface: Surface): Handle {
  SURFACES.set(handle, surface)
  return handle
}

/** @throws CachectlError USAGE for what is no handle of a cache */
export function surfaceOf(handle: unknown): Surface {
  const surface = typeof handle === 'object' && handle !== null ? SURFACES.get(handle) : undefined
  if (surface !== undefined) return surface
  throw new CachectlError('USAGE', 'this is no cache of cachectl', { hint: 'give what `createCache(config)` gave' })
}
