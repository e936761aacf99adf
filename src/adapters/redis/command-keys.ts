// Where the keys of a command are, for the commands that this program sends; and how one of many keys is taken apart and answered as one.
import { errorReply } from '../../core/reply.ts'
import type { CommandArgument, ErrorReply, Reply } from '../../ports.ts'

/** One command as it goes to one place, which is a slot of a Cluster or a named server. */
export interface Part<Place> {
  args: readonly CommandArgument[]
  /** null: any place */
  place: Place | null
  /** of a command that was taken apart: which of its keys these are, from 0 on */
  keys: readonly number[] | null
}

/** How the replies of the parts become one: as they are, an array by key, or their sum. */
export type Join = 'whole' | 'array' | 'sum'

export interface Split<Place> {
  join: Join
  parts: readonly Part<Place>[]
  /** sent again behind commands that were, it does no harm: what it deleted stays deleted */
  repeatable: boolean
}

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '))

/** Reads, which a replica answers. */
const FIRST_KEY_READS = words(
  'GET GETRANGE STRLEN TYPE PTTL TTL PEXPIRETIME DUMP HGET HMGET HGETALL HLEN HEXISTS HSCAN LRANGE LLEN SMEMBERS SCARD SSCAN SISMEMBER ' +
    'ZRANGE ZCARD ZSCORE ZSCAN XRANGE XREVRANGE XLEN',
)
const FIRST_KEY_WRITES = words(
  'SET SETRANGE APPEND GETSET GETDEL GETEX INCR INCRBY DECR DECRBY EXPIRE PEXPIRE EXPIREAT PEXPIREAT PERSIST RESTORE HSET HSETNX HDEL HINCRBY ' +
    'LPUSH RPUSH LPOP RPOP LTRIM BLPOP SADD SREM ZADD ZREM XADD XDEL XTRIM',
)
const SECOND_KEY_READS = words('OBJECT MEMORY XINFO')
const KEYLESS = words('PING ECHO TIME INFO DBSIZE PUBLISH CONFIG COMMAND ACL LATENCY SLOWLOG SCRIPT ROLE LASTSAVE')
const ARRAYS = words('MGET')
const SUMS = words('UNLINK DEL EXISTS TOUCH')
const REPEATABLE = words('UNLINK DEL')
const READS_OF_MANY = words('MGET EXISTS')
const SCRIPTS = words('EVAL EVALSHA')
const ONE_CONNECTION = words(
  'WATCH UNWATCH MULTI EXEC DISCARD CLIENT SELECT AUTH HELLO SUBSCRIBE PSUBSCRIBE MONITOR ASKING READONLY',
)
const ONE_SERVER = words('SCAN KEYS RANDOMKEY')

/** Whether a replica answers it. */
export function isRead(args: readonly CommandArgument[]): boolean {
  const name = nameOf(args)
  return FIRST_KEY_READS.has(name) || READS_OF_MANY.has(name) || SECOND_KEY_READS.has(name) || KEYLESS.has(name)
}

/**
 * Takes a command apart by where its keys are. An error reply, as a server would give it, for what cannot be sent to several servers.
 * @param placeOf of a key; equal places are the same
 */
export function splitCommand<Place>(
  args: readonly CommandArgument[],
  placeOf: (key: CommandArgument) => Place,
): Split<Place> | ErrorReply {
  const name = nameOf(args)
  if (FIRST_KEY_READS.has(name) || FIRST_KEY_WRITES.has(name)) return atKey(args, 1, placeOf)
  if (ARRAYS.has(name)) return byKeys(args, 'array', placeOf)
  if (SUMS.has(name)) return { ...byKeys(args, 'sum', placeOf), repeatable: REPEATABLE.has(name) }
  if (SCRIPTS.has(name)) return script(args, placeOf)
  if (SECOND_KEY_READS.has(name)) return args.length > 2 ? atKey(args, 2, placeOf) : anywhere(args)
  // One of several would be changed.
  if (name === 'CONFIG' && nameOf(args.slice(1)) !== 'GET')
    return errorReply('ERR CONFIG is of one server: ask each master')
  if (KEYLESS.has(name)) return anywhere(args)
  if (name === 'XREAD') return stream(args, placeOf)
  if (ONE_CONNECTION.has(name))
    return errorReply(`ERR ${name} is of one connection, and this lane is of several servers`)
  if (ONE_SERVER.has(name)) return errorReply(`ERR ${name} is of one server: ask each master`)
  return errorReply(`ERR unknown command '${name.slice(0, 64)}': it is not known where its keys are`)
}

const nameOf = ([name = '']: readonly CommandArgument[]): string => String(name).toUpperCase()

function atKey<Place>(
  args: readonly CommandArgument[],
  index: number,
  placeOf: (key: CommandArgument) => Place,
): Split<Place> | ErrorReply {
  const key = args[index]
  // The server says what is missing.
  if (key === undefined) return anywhere(args)
  return { join: 'whole', parts: [{ args, place: placeOf(key), keys: null }], repeatable: false }
}

function anywhere(args: readonly CommandArgument[]): Split<never> {
  return { join: 'whole', parts: [{ args, place: null, keys: null }], repeatable: false }
}

function byKeys<Place>(
  args: readonly CommandArgument[],
  join: Join,
  placeOf: (key: CommandArgument) => Place,
): Split<Place> {
  const [name = '', ...keys] = args
  if (keys.length === 0) return anywhere(args)
  const byPlace = new Map<Place, { args: CommandArgument[]; keys: number[] }>()
  keys.forEach((key, index) => {
    const place = placeOf(key)
    const part = byPlace.get(place)
    if (part === undefined) byPlace.set(place, { args: [name, key], keys: [index] })
    else {
      part.args.push(key)
      part.keys.push(index)
    }
  })
  const parts = [...byPlace].map(([place, part]) => ({ ...part, place }))
  return { join, parts, repeatable: false }
}

function script<Place>(
  args: readonly CommandArgument[],
  placeOf: (key: CommandArgument) => Place,
): Split<Place> | ErrorReply {
  const count = Number(String(args[2]))
  if (!(Number.isInteger(count) && count > 0 && count <= args.length - 3)) return anywhere(args)
  const places = new Set(args.slice(3, 3 + count).map(placeOf))
  if (places.size > 1) return errorReply("CROSSSLOT Keys in request don't hash to the same slot")
  return atKey(args, 3, placeOf)
}

function stream<Place>(
  args: readonly CommandArgument[],
  placeOf: (key: CommandArgument) => Place,
): Split<Place> | ErrorReply {
  const at = args.findIndex((word) => String(word).toUpperCase() === 'STREAMS') + 1
  if (at > 0 && args.length === at + 2) return atKey(args, at, placeOf)
  return errorReply('ERR XREAD of several streams cannot be sent to several servers')
}

/** What the parts of one command have answered, put together as they come; the first error reply is the answer of all. */
export class Joined {
  readonly #join: Join
  readonly #array: Reply[] = []
  #sum = 0
  #whole: Reply = null
  #error: ErrorReply | null = null

  constructor(join: Join) {
    this.#join = join
  }

  add(part: Part<unknown>, reply: Reply): void {
    if (typeof reply === 'object' && reply !== null && 'error' in reply) this.#error ??= reply
    else if (this.#join === 'sum' && typeof reply === 'number') this.#sum += reply
    else if (part.keys !== null && Array.isArray(reply))
      part.keys.forEach((key, index) => {
        this.#array[key] = reply[index] ?? null
      })
    else this.#whole = reply
  }

  get reply(): Reply {
    if (this.#error !== null) return this.#error
    if (this.#join === 'array') return this.#array
    return this.#join === 'sum' ? this.#sum : this.#whole
  }
}
