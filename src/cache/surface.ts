// What each surface of the library is made of: a kernel, and the tenant of the handle or of the work under way.
import type { Kernel } from './kernel.ts'

export interface Surface {
  /** In a transaction it is one that keeps invalidations until the commit. */
  readonly kernel: Kernel
  /** of this handle, or of the `runWithTenant` around the call; null: none */
  tenant(): string | null
}
