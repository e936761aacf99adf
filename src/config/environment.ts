// The environment variables that decide what is loaded. The README's table is held to this one by a test.

export type Environment = Record<string, string | undefined>

export const ENVIRONMENT = {
  CACHECTL_CONFIG: 'the config file, as --config names it',
  CACHECTL_REDIS: 'the URL of Redis, before what the config file says; --redis comes before it',
  CACHECTL_EMBEDDED: '1: a private Redis that lives as long as the command, like --redis embedded',
  CACHECTL_ENV: '`production` or `development`, before the `env` of the config file',
  CACHECTL_CACHE: '`off`: the library in an application caches nothing and opens no connection (docs/caching.md)',
  CACHECTL_LOG:
    '`debug`, `info` or `warn`: the library in an application logs what it does to stderr, as lines of JSON (docs/observability.md)',
  REDIS_URL: 'the URL of Redis where the config file reads it, or where there is no config file',
} as const satisfies Record<string, string>

/** The value; null where it is not set or empty, as `VARIABLE= command` leaves it. */
export function variable(env: Environment, name: keyof typeof ENVIRONMENT): string | null {
  return env[name] || null
}
