// A Prisma client as `prisma generate` makes it, of a schema of a test: generated into a temporary folder, without engines and without network.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'esbuild'

const require = createRequire(import.meta.url)
const root = fileURLToPath(new URL('../..', import.meta.url))

export interface GeneratedClient {
  PrismaClient: new (options: {
    adapter: unknown
    // biome-ignore lint/suspicious/noExplicitAny: its types are those of a schema that exists at run time only
  }) => any
  /** its TypeScript is in `client/client.ts` */
  folder: string
  remove(): Promise<void>
}

/** `models` is the schema without generator and datasource. */
export async function generateClient(models: string): Promise<GeneratedClient> {
  const folder = await mkdtemp(join(tmpdir(), 'cachectl-prisma-'))
  const schema = `generator client {\n  provider = "prisma-client"\n  output = "${folder}/client"\n}\ndatasource db {\n  provider = "postgresql"\n}\n${models}`
  await writeFile(join(folder, 'schema.prisma'), schema)
  const prisma = join(dirname(require.resolve('prisma/package.json')), 'build/index.js')
  await promisify(execFile)(process.execPath, [prisma, 'generate', '--schema', join(folder, 'schema.prisma')], {
    cwd: folder,
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true', CHECKPOINT_DISABLE: '1' },
  })
  const outfile = join(folder, 'client.mjs')
  await build({
    entryPoints: [join(folder, 'client/client.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    nodePaths: [join(root, 'node_modules')],
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)" },
    logLevel: 'error',
  })
  const { PrismaClient } = (await import(pathToFileURL(outfile).href)) as Pick<GeneratedClient, 'PrismaClient'>
  return { PrismaClient, folder, remove: () => rm(folder, { recursive: true, force: true }) }
}
