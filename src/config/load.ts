// Finds the config file and loads it, with the `.env` beside it, the environment and the flags around it. The door to the config for commands.
import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { parseEnv } from 'node:util'
import { CachectlError } from '../core/errors.ts'
import { type Environment, variable } from './environment.ts'
import { findConfig } from './find-config.ts'
import { importConfig } from './import-config.ts'
import { describeProblems, type Problem } from './problems.ts'
import { namedRedis, plainRedis } from './redis-target.ts'
import { resolveConfig } from './resolve.ts'
import type { RedisTarget, ResolvedConfig } from './resolved.ts'

export interface LoadOptions {
  /** where the search begins, and what a relative `file` is relative to */
  cwd: string
  /** `--config` */
  file?: string
  /** `process.env`: configs read that, and `.env` fills what is not set in it */
  env: Environment
  flags: { redis?: string }
}

export interface LoadedConfig {
  /** null: there is no config file */
  config: ResolvedConfig | null
  /** the config's, or without one that of --redis, CACHECTL_REDIS or REDIS_URL; null: none is named, see `requireRedis` */
  redis: RedisTarget | null
  /** the path of the config file */
  file: string | null
}

/** What there is to say of a config file, whether or not it is right. */
export interface ConfigReading extends LoadedConfig {
  problems: readonly Problem[]
}

/**
 * The config that counts here, with what flags and environment say in place of what it says.
 * @throws CachectlError CONFIG_NOT_FOUND (a named file), CONFIG_LOAD, CONFIG_INVALID (all problems at once), USAGE
 */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const { problems, ...loaded } = await readConfig(options)
  if (problems.length === 0) return loaded
  throw new CachectlError('CONFIG_INVALID', describeProblems(loaded.file ?? 'the environment', problems))
}

/** The same, with the problems as data. @throws CachectlError when there is nothing to read: CONFIG_NOT_FOUND, CONFIG_LOAD, USAGE */
export async function readConfig({ cwd, file: named, env, flags }: LoadOptions): Promise<ConfigReading> {
  const file = await findConfig(cwd, named ?? variable(env, 'CACHECTL_CONFIG'))
  if (file === null) return { config: null, redis: namedRedis(flags.redis, env) ?? plainRedis(env), file, problems: [] }
  readDotEnv(file, env)
  const redis = namedRedis(flags.redis, env)
  const options = { name: basename(file), file, redis, env: namedEnv(env) }
  const { config, problems } = resolveConfig(await importConfig(file), options)
  return { config, redis: config?.redis ?? redis, file, problems }
}

/** Values of the `.env` beside the file, for every variable that is not set yet. */
function readDotEnv(file: string, env: Environment): void {
  const folder = dirname(file)
  const path = join(basename(folder) === '.config' ? dirname(folder) : folder, '.env')
  try {
    for (const [name, value] of Object.entries(parseEnv(readFileSync(path, 'utf8')))) env[name] ??= value
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'EISDIR')
      throw new CachectlError('CONFIG_LOAD', `cannot read ${path}: ${message}`, { cause: error })
  }
}

function namedEnv(env: Environment): ResolvedConfig['env'] | null {
  const name = variable(env, 'CACHECTL_ENV')
  if (name === null || name === 'production' || name === 'development') return name
  throw new CachectlError('USAGE', 'CACHECTL_ENV is neither `production` nor `development`', {
    hint: 'set it to one of them, or unset it',
  })
}
