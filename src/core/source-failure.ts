// What a source threw, as an error that names the model.
import { CachectlError } from './errors.ts'

/** Anything a source throws that is not ours already is the user's own code or database failing. */
export function asSourceError(model: string, thrown: unknown): CachectlError {
  if (thrown instanceof CachectlError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new CachectlError('SOURCE_FAILED', `the source of ${model} failed: ${message}`, { cause: thrown })
}
