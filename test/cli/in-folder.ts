// A command line in a project's folder, in this process: much quicker than one of its own.
import { cachectl } from './test-io.ts'

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
