import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeError } from '../../../src/adapters/redis/errors.ts'
import { describeReply } from '../../../src/core/error-reply.ts'
import { CachectlError } from '../../../src/core/errors.ts'
import { errorReply } from '../../../src/core/reply.ts'
import { freePort, startRedis, type TestRedis } from '../../servers.ts'

const CANARY = 'cAnArY-f00d'
let server: TestRedis

beforeAll(async () => {
  server = await startRedis({ port: 0 })
})

afterAll(() => server.stop())

/** What a person is told of the error that `command` gets; the same from ioredis and as a value. */
async function told(redis: TestRedis, ...command: (string | number)[]): Promise<CachectlError> {
  const thrown = await redis.call(...command).catch((error: unknown) => error)
  expect(thrown).toBeInstanceOf(Error)
  const text = (thrown as Error).message
  const error = describeError(thrown, 'h:1')
  const value = describeError({ error: text, code: text.split(' ')[0] }, 'h:1')
  expect({ code: error.code, exitCode: error.exitCode, hint: error.hint }).toEqual({
    code: value.code,
    exitCode: value.exitCode,
    hint: value.hint,
  })
  expect(error.message).toMatch(/^h:1 /)
  return error
}

test('what a script came upon is told like what a command did, also as servers before Redis 7 put it', () => {
  const around =
    'ERR Error running script (call to f_81fa0d7e9d7b3337da55e07bf82a4a07979029bc): @user_script:21: @user_script: 21: '
  for (const [line, code] of [
    ["-OOM command not allowed when used memory > 'maxmemory'.", 'REDIS_REFUSES_WRITES'],
    ["-READONLY You can't write against a read only replica.", 'REDIS_REFUSES_WRITES'],
    ['WRONGTYPE Operation against a key holding the wrong kind of value', 'REDIS_REPLY'],
  ] as const) {
    const plain = line.replace(/^-/, '')
    expect(errorReply(around + line)).toEqual({ error: plain, code: plain.split(' ')[0] })
    expect(describeReply(around + line, 'h:1')).toEqual(describeReply(plain, 'h:1'))
    expect(describeReply(around + line, 'h:1').code).toBe(code)
  }
  const plain = "READONLY You can't write against a read only replica."
  const place = ' script: 2b6a50874ff7d96c46b4a6e62185f77a6d93bab6, on @user_script:31.'
  expect(errorReply(plain + place)).toEqual({ error: plain, code: 'READONLY' })
  expect(errorReply(`ERR it fails${place}`).error).toBe(`ERR it fails${place}`)
  const fault = `${around}user_script:1: attempt to index a nil value`
  expect(errorReply(fault)).toEqual({ error: fault, code: 'ERR' })
})

test('what a user may not do in a script either: exit 11, in the words of each server', async () => {
  const sha = '91dc92c70e55c0375a7afb9a7e8963b89bb7a930'
  const older = `ERR Error running script (call to f_${sha}): @user_script:1: @user_script: 1: `
  const can = "The user executing the script can't"
  for (const [line, message] of [
    [`${older}${can} run this command or subcommand`, 'a script of cachectl'],
    [`ERR ${can} run this command or subcommand script: ${sha}, on @user_script:1.`, 'a script of cachectl'],
    [`${older}${can} access at least one of the keys mentioned in the command arguments`, 'touch these keys'],
    [
      `ERR ACL failure in script: No permissions to access a key script: ${sha}, on @user_script:1.`,
      'touch these keys',
    ],
    [
      "ERR ACL failure in script: User u has no permissions to run the 'set' command script: on @user_script:1.",
      'run SET',
    ],
  ] as const) {
    expect(errorReply(line).code, line).toBe('NOPERM')
    expect(describeReply(line, 'h:1'), line).toMatchObject({
      code: 'REDIS_ACL',
      message: expect.stringContaining(message),
    })
  }
  await server.call('ACL', 'SETUSER', 'reader', 'on', '>x', '~a*', '+eval', '+get')
  const reader = new Redis({ port: server.port as number, username: 'reader', password: 'x' })
  try {
    for (const script of ["return redis.call('SET', KEYS[1], '1')", "return redis.call('GET', 'b')"]) {
      const refused = await reader.call('EVAL', script, 1, 'a').catch((error: unknown) => error)
      expect(describeError(refused, 'h:1')).toMatchObject({ code: 'REDIS_ACL', exitCode: 11 })
    }
  } finally {
    reader.disconnect()
    await server.call('ACL', 'DELUSER', 'reader')
  }
})

test('out of memory: exit 13, and what would help', async () => {
  await server.call('CONFIG', 'SET', 'maxmemory', '1')
  try {
    const error = await told(server, 'SET', 'k', CANARY)
    expect(error).toMatchObject({ code: 'REDIS_REFUSES_WRITES', exitCode: 13 })
    expect(error.message).toContain('maxmemory')
    expect(error.hint).toContain('maxmemory-policy')
  } finally {
    await server.call('CONFIG', 'SET', 'maxmemory', '0')
  }
})

test('a replica, and one that has lost its primary', async () => {
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(await freePort())] })
  try {
    expect(await told(replica, 'SET', 'k', CANARY)).toMatchObject({
      code: 'REDIS_REFUSES_WRITES',
      message: expect.stringContaining('is a replica'),
    })
    await replica.call('CONFIG', 'SET', 'replica-serve-stale-data', 'no')
    expect(await told(replica, 'GET', 'k')).toMatchObject({
      code: 'REDIS_UNREACHABLE',
      message: expect.stringContaining('lost its primary'),
    })
  } finally {
    await replica.stop()
  }
})

test('too few replicas', async () => {
  await server.call('CONFIG', 'SET', 'min-replicas-to-write', '1')
  try {
    expect(await told(server, 'SET', 'k', 'v')).toMatchObject({
      code: 'REDIS_REFUSES_WRITES',
      message: expect.stringContaining('min-replicas-to-write'),
    })
  } finally {
    await server.call('CONFIG', 'SET', 'min-replicas-to-write', '0')
  }
})

test('a server that cannot save: deletes are refused too, and the message says so', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'unsaved-'))
  const broken = await startRedis({ args: ['--save', '3600 1000000', '--dir', folder] })
  try {
    await rm(folder, { recursive: true })
    await broken.call('BGSAVE')
    await until(async () => String(await broken.call('INFO', 'persistence')).includes('rdb_last_bgsave_status:err'))
    const error = await told(broken, 'DEL', 'k')
    expect(error).toMatchObject({ code: 'REDIS_REFUSES_WRITES', message: expect.stringContaining('deletes too') })
    expect(error.hint).toContain('stop-writes-on-bgsave-error')
  } finally {
    await broken.stop()
  }
})

test('a missing right names the command and the line that gives it', async () => {
  await server.call('ACL', 'SETUSER', 'narrow', 'on', `>${CANARY}`, '~shop:*', '+get', '+acl')
  const redis = new Redis(server.port as number, '127.0.0.1', {
    username: 'narrow',
    password: CANARY,
    enableReadyCheck: false,
    disableClientInfo: true,
  })
  try {
    const unlink = describeError(await redis.unlink('shop:1', CANARY).catch((error: unknown) => error), 'h:1')
    expect(unlink).toMatchObject({ code: 'REDIS_ACL', exitCode: 11, message: expect.stringContaining('UNLINK') })
    const line = /`ACL SETUSER (\S+) (\+\S+)`/.exec(unlink.hint)
    expect(line?.[2]).toBe('+unlink')
    const key = describeError(await redis.get(`bank:${CANARY}`).catch((error: unknown) => error), 'h:1')
    expect(key).toMatchObject({ code: 'REDIS_ACL', message: expect.stringContaining('keys') })
    // The line does what it says.
    await server.call('ACL', 'SETUSER', 'narrow', line?.[2] ?? '')
    expect(await redis.unlink('shop:1')).toBe(0)
    expect(inspect([unlink, key], { depth: 9 })).not.toContain(CANARY)
  } finally {
    redis.disconnect()
  }
})

test('a node of a cluster', async () => {
  const node = await startRedis({ port: await freePort(), args: ['--cluster-enabled', 'yes'] })
  try {
    expect(await told(node, 'GET', 'k')).toMatchObject({
      code: 'REDIS_UNREACHABLE',
      exitCode: 10,
      message: expect.stringContaining('slots'),
    })
    expect(await told(node, 'SELECT', '1')).toMatchObject({ code: 'REDIS_URL_INVALID' })
  } finally {
    await node.stop()
  }
})

test('any other reply keeps its text, escaped, without the arguments', async () => {
  await server.call('SET', 'text', 'v')
  expect(await told(server, 'LPUSH', 'text', CANARY)).toMatchObject({
    code: 'REDIS_REPLY',
    exitCode: 1,
    message: expect.stringContaining('WRONGTYPE'),
  })
  const unknown = await told(server, 'NOSUCH', CANARY)
  expect(unknown.message).toMatch(/unknown command/)
  expect(inspect(unknown, { depth: 9 })).not.toContain(CANARY)
  expect(describeReply('ERR \u001b[31m\u202e', 'h:1').message).toMatch(/^[\x20-\x7e]+$/)
})

test('replies that no server here gives', () => {
  const code = (text: string) => describeReply(text, 'h:1').code
  expect(code('DENIED Redis is running in protected mode because protected mode is enabled')).toBe('REDIS_AUTH')
  expect(code("NOPERM this user has no permissions to run the 'get' command")).toBe('REDIS_ACL')
  expect(code('ERR invalid password')).toBe('REDIS_AUTH')
  expect(code("ERR wrong number of arguments for 'auth' command")).toBe('REDIS_AUTH')
  expect(code('TRYAGAIN Multiple keys request during rehashing of slot')).toBe('REDIS_UNREACHABLE')
  expect(code('MOVED 3999 127.0.0.1:6381')).toBe('REDIS_UNREACHABLE')
})

test('a connection that ends is no reply, and a mistake of ours is none of Redis', async () => {
  const redis = new Redis({ path: `${server.dir}/redis.sock`, retryStrategy: () => null })
  redis.on('error', () => {})
  await once(redis, 'ready')
  const waiting = redis.blpop('absent', 0).catch((error: unknown) => describeError(error, 'h:1'))
  await until(async () => String(await server.call('CLIENT', 'LIST')).includes('cmd=blpop'))
  await server.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  expect(await waiting).toMatchObject({ code: 'REDIS_UNREACHABLE', message: expect.stringContaining('lost') })
  expect(describeError(new TypeError('x is not a function'), 'h:1').code).toBe('UNEXPECTED')
  const known = new CachectlError('LOCKED', 'held')
  expect(describeError(known, 'h:1')).toBe(known)
})

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await condition())) if (performance.now() > deadline) throw new Error('it did not come to that')
}
