import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AclScope, aclLine, aclRules, RIGHTS_GROUPS, type RightsGroup, VERB_RIGHTS } from '../../src/core/acl.ts'
import { useLibrary } from './acl-library.ts'
import { type AclServer, startAclServer, VERB_RUNS } from './acl-runs.ts'

/**
 * Where there are two ways, and one is enough, what the first one needs: single entries may be filled by scripts too, DEL does what UNLINK does, and who cannot
 * hear processes waits for them. */
const ONE_WAY: Readonly<Record<string, string>> = {
  warm: 'exec multi unwatch watch',
  'policy check': 'info',
  invalidate: 'command|info subscribe',
  'version bump': 'subscribe',
  'version prune': 'command|info',
  evict: 'command|info',
}

/** Libraries under way at once. */
const AT_ONCE = 12

describe('the rights that verbs need', () => {
  let server: AclServer
  let scope: AclScope
  const scopeOf = (prefix: string): AclScope => ({ ...scope, prefix })
  beforeAll(async () => {
    server = await startAclServer()
    const known = (await server.redis.call('COMMAND', 'INFO', 'client|no-touch')) as unknown[]
    const unknown = new Set(known[0] === null ? ['client|no-touch'] : [])
    scope = { prefix: 'shop', foreign: [], mode: 'standalone', unknown }
  })
  afterAll(() => server.stop())

  const verbs = VERB_RIGHTS.filter(({ verb }) => verb !== 'library')

  it('are known of every verb that is run', () => {
    expect(verbs.map(({ verb }) => verb).sort()).toEqual(Object.keys(VERB_RUNS).sort())
  })

  it.each(verbs.map((rights) => [rights.verb, rights] as const))(
    '%s: all of them, and none too few',
    async (verb, rights) => {
      const lines = VERB_RUNS[verb] as readonly string[]
      const asAdmin: number[] = []
      await server.allow(['+@all', '~*', '&*'])
      for (const line of lines) asAdmin.push((await server.run(line)).exitCode)
      expect(asAdmin.every((code) => code === 0 || code === 6)).toBe(true)

      await server.allow(aclRules([rights], scope))
      for (const [index, line] of lines.entries()) {
        const { exitCode, denied } = await server.run(line)
        expect({ line, exitCode, denied }).toEqual({ line, exitCode: asAdmin[index], denied: [] })
      }
      // What makes it better is not what it needs.
      const least = aclRules([{ ...rights, better: ONE_WAY[verb]?.split(' ') ?? [] }], scope)
      await server.allow(least)
      for (const [index, line] of lines.entries())
        expect({ line, exitCode: (await server.run(line)).exitCode }).toEqual({ line, exitCode: asAdmin[index] })

      for (const right of rights.needs) {
        await server.allow(aclRules([rights], scope).filter((rule) => rule !== `+${right}`))
        expect(await failsSomewhere(lines, asAdmin), `${verb} without ${right}`).toBe(true)
      }
    },
  )

  async function failsSomewhere(lines: readonly string[], asAdmin: readonly number[]): Promise<boolean> {
    for (const [index, line] of lines.entries()) if ((await server.run(line)).exitCode !== asAdmin[index]) return true
    return false
  }

  it('are enough for the library, and none too few', async () => {
    const [library] = VERB_RIGHTS.filter(({ verb }) => verb === 'library')
    if (library === undefined) throw new Error('the library has no rights')
    const used = async (name: string, rules: (scope: AclScope) => string[]) => {
      await server.redis.call('ACL', 'SETUSER', name, 'on', '>secret', ...rules(scopeOf(name)))
      return useLibrary(`redis://${name}:secret@127.0.0.1:${server.redis.port}`, name)
    }
    const asAdmin = await used('admin', () => ['+@all', '~*', '&*'])
    expect(asAdmin).toContain('"errors":0')
    expect(await used('library', (of) => aclRules([library], of))).toBe(asAdmin)
    expect(await used('least', (of) => aclRules([{ ...library, better: [] }], of))).toBe(asAdmin)
    const needs = [...library.needs]
    while (needs.length > 0) {
      const some = needs.splice(0, AT_ONCE)
      const results = await Promise.all(
        some.map((right, index) =>
          used(`without${needs.length}x${index}`, (of) =>
            aclRules([library], of).filter((rule) => rule !== `+${right}`),
          ),
        ),
      )
      expect(some.filter((_, index) => results[index] === asAdmin)).toEqual([])
    }
  }, 60_000)

  it.each(Object.keys(RIGHTS_GROUPS) as RightsGroup[])(
    'are taken by the server as they are printed: %s',
    async (group) => {
      const own = { ...scope, foreign: ['legacy:*', 'old keys:*'] }
      const line = aclLine(group, own).replace('<password>', 'x')
      const words = line.split(' ') as [string, ...string[]]
      expect(await server.redis.call(...words)).toBe('OK')
      expect(words).toContain('~old?keys:*')
      // Nothing that would let a user do what no verb does.
      // What one before 6.2 would not take is left out for it, and nothing else.
      const older = aclLine(group, { ...own, version: 'Redis 6.0.16' })
        .replace('<password>', 'x')
        .split(' ')
      expect(older).toEqual(words.filter((word) => !word.startsWith('&')))
      expect(words.filter((word) => /^\+(@|keys$|flush|config$|acl$|debug|shutdown)/.test(word))).toEqual([])
    },
  )
})
