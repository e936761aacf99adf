// What is wrong with a config, and what it leaves out. Opens nothing.
import type { ConfigReading } from '../config/load.ts'
import type { Problem } from '../config/problems.ts'
import type { RedisTarget } from '../config/resolved.ts'
import { CachectlError } from '../core/errors.ts'

export { describeProblem } from '../config/problems.ts'

export interface ConfigCheckReport {
  ok: boolean
  file: string
  problems: readonly Problem[]
  /** not wrong, but worth knowing */
  notes: readonly Problem[]
  models: number
  namespaces: number
  /** models that a bare `warm` leaves out */
  notWarmed: readonly { model: string; reason: string }[]
}

/**
 * `checkRedis` throws a CachectlError for a URL that cannot be one.
 * @throws CachectlError CONFIG_NOT_FOUND
 */
export function checkConfig(reading: ConfigReading, checkRedis: (target: RedisTarget) => unknown): ConfigCheckReport {
  const { config, file, redis } = reading
  if (file === null) throw new CachectlError('CONFIG_NOT_FOUND', 'there is no config file here')
  const problems = [...reading.problems]
  const notes: Problem[] = []
  if (redis) problems.push(...urlProblems(redis, checkRedis))
  else if (config)
    notes.push({
      path: 'redis',
      message: 'is not set here: commands that need Redis will say so',
      suggestion: 'set the variable that it reads, or name one with --redis',
    })
  const models = Object.values(config?.models ?? {})
  for (const { name, source } of models)
    if (source?.lacks !== undefined)
      notes.push({
        path: `models.${name}.source`,
        message: `has ${source.lacks}`,
        suggestion: 'set the variable that it reads',
      })
  const notWarmed = models.flatMap(({ name, enabled, warm, source }) => {
    if (!enabled) return [{ model: name, reason: 'not enabled' }]
    if (source === null) return [{ model: name, reason: 'has no source' }]
    return warm ? [] : [{ model: name, reason: 'has no warm block' }]
  })
  return {
    ok: problems.length === 0,
    file,
    problems,
    notes,
    models: models.length,
    namespaces: Object.keys(config?.namespaces ?? {}).length,
    notWarmed,
  }
}

function urlProblems(redis: RedisTarget, checkRedis: (target: RedisTarget) => unknown): Problem[] {
  if (redis.url === 'embedded') return []
  try {
    checkRedis(redis)
    return []
  } catch (error) {
    if (!(error instanceof CachectlError)) throw error
    return [{ path: 'redis', message: `${error.message} (from ${redis.from})`, suggestion: error.hint }]
  }
}
