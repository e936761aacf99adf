// A command line in a project's folder, in this process: much quicker than one of its own.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedis, type TestRedis } from '../servers.ts'
import { createProject, type Project } from './spawned.ts'
import { cachectl } from './test-io.ts'

type Given = NonNullable<Parameters<typeof cachectl>[1]>

/** A project, and the same in production, on a Redis of their own. */
export interface Projects {
  redis: TestRedis
  project: Project
  production: Project
  /** Where a command runs: in the project, unless it is said otherwise. */
  given(more?: Given): Given
  close(): Promise<void>
}

/** `config`: the text of a config, with more options in it. */
export async function openProjects(config: (more?: string) => string): Promise<Projects> {
  const redis = await startRedis({ port: 0 })
  const project = createProject({ 'cache.config.mjs': config() })
  const production = createProject({ 'cache.config.mjs': config("env: 'production',") })
  const state = mkdtempSync(join(tmpdir(), 'cachectl-state-'))
  return {
    redis,
    project,
    production,
    given: (more = {}) => ({
      cwd: project.folder,
      env: { CACHECTL_REDIS: redis.url, XDG_STATE_HOME: state, NO_COLOR: '1' },
      ...more,
    }),
    async close() {
      project.remove()
      production.remove()
      rmSync(state, { recursive: true, force: true })
      await redis.stop()
    },
  }
}

/** What the config reads of the environment is set for as long as it runs. */
export async function runIn(
  folder: string,
  argv: readonly string[],
  env: Record<string, string>,
): Promise<Awaited<ReturnType<typeof cachectl>>> {
  const before = { ...process.env }
  Object.assign(process.env, env)
  try {
    return await cachectl(argv, { cwd: folder, env })
  } finally {
    process.env = before
  }
}
