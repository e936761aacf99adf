// Standard Schema (https://standardschema.dev), as much of it as a cache needs: zod, valibot, arktype and others implement it.
import { CachectlError } from '../core/errors.ts'
import type { Policy } from './kernel.ts'

export interface StandardSchema<Output = unknown> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined
  }
}

type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly unknown[] }

/** What the schema makes of a value that came back; null where it has issues with it. @throws CachectlError USAGE for what is no schema */
export function schemaCheck(schema: StandardSchema): NonNullable<Policy['check']> {
  const validate = schema?.['~standard']?.validate
  if (typeof validate !== 'function')
    throw new CachectlError('USAGE', '`schema` is no Standard Schema', {
      hint: 'give a schema of zod, valibot, arktype or another library that implements https://standardschema.dev',
    })
  const told = (result: StandardResult<unknown>) => (result.issues ? null : { value: result.value })
  return (value) => {
    const result = validate(value)
    return result instanceof Promise ? result.then(told) : told(result)
  }
}
