// The code in the docs compiles against the library, and their links lead somewhere.
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
/** Those without `…` in their code. */
const PAGES = ['README.md', 'docs/caching.md', 'docs/tenants.md', 'docs/topologies.md', 'docs/which.md']
let dir: string

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cachectl-docs-'))
  await cp(join(root, 'test/fixtures/docs'), dir, { recursive: true })
  const compilerOptions = {
    noUnusedLocals: false,
    noUnusedParameters: false,
    typeRoots: [join(root, 'node_modules/@types')],
    paths: {
      cachectl: [join(root, 'src/index.ts')],
      '*': [join(root, 'node_modules/*'), join(root, 'node_modules/@types/*')],
    },
  }
  const project = { extends: join(root, 'tsconfig.json'), compilerOptions, include: ['*.ts'], exclude: [] }
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(project))
  await writeFile(join(dir, 'package.json'), '{ "type": "module" }')
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** What the compiler says of these modules, by their names; '' for nothing. */
async function compile(modules: Readonly<Record<string, string>>): Promise<string> {
  for (const [name, code] of Object.entries(modules)) await writeFile(join(dir, `${name}.ts`), `${code}\nexport {}\n`)
  const tsc = fileURLToPath(import.meta.resolve('typescript/bin/tsc'))
  return run(process.execPath, [tsc, '-p', dir], { cwd: dir }).then(
    () => '',
    ({ stdout }: { stdout: string }) => stdout,
  )
}

function codeOf(page: string): string[] {
  return [...readFileSync(join(root, page), 'utf8').matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code as string)
}

it('code of the pages compiles, and what is wrong in it would be found', async () => {
  const blocks = PAGES.flatMap((page) =>
    codeOf(page).map((code, index) => [`${page.replace(/\W/g, '-')}-${index}`, code]),
  )
  expect(blocks.length).toBeGreaterThan(8)
  const found = await compile({ ...Object.fromEntries(blocks), wrong: "await cache.model('produkt').get(42)" })
  expect(found.trim().split('\n')).toEqual([expect.stringMatching(/^wrong\.ts\(1,19\): error TS2345.*produkt/)])
})

it('links lead to pages that are there', () => {
  const pages = ['README.md', 'CONTRIBUTING.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)]
  const broken = pages.flatMap((page) => {
    const text = readFileSync(join(root, page), 'utf8')
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link]) => link as string)
    return links.filter((link) => !existsSync(join(root, dirname(page), link))).map((link) => `${page}: ${link}`)
  })
  expect(broken).toEqual([])
})

it('the README leads to every page', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const more = readme.slice(readme.indexOf('## More'))
  expect(readdirSync(join(root, 'docs')).filter((name) => !more.includes(`(docs/${name})`))).toEqual([])
})
