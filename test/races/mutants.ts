// The naive variants of what the kernel does, each one command away from it: the same flows and the same checker must catch every one of them.
import type { OpenBus } from '../../src/cache/near-bus.ts'
import { BUMP } from '../../src/core/generation-record.ts'
import { FILL_LEASED, LOG_STAMPS } from '../../src/core/lease-script.ts'
import { CAPTURE_STAMP } from '../../src/core/stamp-script.ts'
import type { CommandArgument, Lane } from '../../src/ports.ts'

type Command = readonly CommandArgument[]
type Rewrite = (command: Command) => Command

const NOTHING: Command = ['EXISTS', 'no such key']
const INCARNATION = 'AAAAAAAAAAAAAAAA'
const isLease = (argument: CommandArgument | undefined) => String(argument).includes('~lease:')
/** `EVAL script 3 hash revision records op who token epoch scope token …` */
const isBump = (command: Command) => command[0] === 'EVAL' && String(command[1]).endsWith(BUMP)
/** `EVAL script 2 hash revision HSETNX token field value …` */
const isChange = (command: Command, how: string) => command[0] === 'EVAL' && command[5] === how
const isHistory = (command: Command) => command[0] === 'EVAL' && String(command[1]).includes("'history'")

/** Generations as counters, kept where they can be evicted: the first bump after that is the first again. */
const COUNT = `
for index = 2, #ARGV do redis.call('HINCRBY', KEYS[1], ARGV[index], 1) end
redis.call('HSETNX', KEYS[1], 'incarnation', '${INCARNATION}')
redis.call('SET', KEYS[2], ARGV[1])
return {0}`

const unchanged: Rewrite = (command) => command

/** By name; made anew for each connection. */
const REWRITES = {
  /** what was loaded is written, whatever happened meanwhile */
  'plain fill': () => (command) => {
    if (command[1] !== FILL_LEASED) return command
    const [, , , key, , , value, ttl] = command as CommandArgument[]
    return ['SET', key as string, value as string, ...(ttl === '' ? [] : ['PX', ttl as number])]
  },
  /** the entry is deleted, and nothing of what is under way */
  'leases stay': () => (command) => (command[0] === 'UNLINK' && isLease(command[1]) ? NOTHING : command),
  /** a tag begins at 0 after it was invalidated, or evicted */
  'stamps begin at 0': () => (command) =>
    command[1] === CAPTURE_STAMP ? [...command.slice(0, 4), '0', ...command.slice(5)] : command,
  /** a tag that the loader names is captured after the load, with no look at what happened meanwhile */
  'no log of stamps': () => (command) => (command[1] === LOG_STAMPS ? NOTHING : command),
  /** others are not told of a bump */
  'silent bump': () => (command) =>
    isBump(command) ? [...command.slice(0, 4), 'elsewhere', ...command.slice(5)] : command,
  /** control data that begins anew when it was lost, under the same incarnation */
  'generations begin at 1': () => (command) => {
    if (isHistory(command)) return [...command.slice(0, 6), INCARNATION, ...command.slice(7)]
    if (isChange(command, 'HSETNX'))
      return command.map((argument, index) => (command[index - 1] === 'incarnation' ? INCARNATION : argument))
    if (!isBump(command)) return command
    const scopes = command.slice(10).filter((_, index) => index % 2 === 0)
    return ['EVAL', COUNT, 2, ...command.slice(3, 5), command[8] as string, ...scopes]
  },
  /** what the server lost with its last seconds was never lost */
  'any history': () => (command) => (isHistory(command) || command[0] === 'INFO' ? NOTHING : command),
  /** invalidations of the time without Redis are forgotten */
  'no backlog': () => {
    let serving = false
    return (command) => {
      if (command[0] === 'MGET') serving = true
      return command[0] === 'UNLINK' && !serving ? NOTHING : command
    }
  },
  /** what must be done one after the other goes to several servers at once */
  'in one write': () => unchanged,
  /** a connection to a primary is one for good, and what was applied there is applied */
  'any primary': () => unchanged,
  /** copies in memory are trusted whatever became of the connection that tells of invalidations */
  'deaf L1': () => unchanged,
} satisfies Record<string, () => Rewrite>

export type MutantName = keyof typeof REWRITES

export function mutateLane(lane: Lane, mutant: MutantName): Lane {
  const rewrite = REWRITES[mutant]()
  return {
    get noTouch() {
      return lane.noTouch
    },
    get closed() {
      return lane.closed
    },
    page() {
      const page = lane.page()
      const add = page.add.bind(page)
      page.add = (...command) => add(...rewrite(command))
      if (mutant === 'in one write') Object.defineProperty(page, 'scattered', { value: false })
      return page
    },
    run: (page) => lane.run(page),
    close: () => lane.close(),
  }
}

/** Does not hear that the connection was lost, nor anything after it, and takes it for well. */
export function deafen(open: OpenBus): OpenBus {
  return (options, listener) => {
    let lost = false
    const bus = open(options, {
      message: (channel, payload) => !lost && listener.message(channel, payload),
      invalidated: (keys) => !lost && listener.invalidated(keys),
      connected: (clientId) => !lost && listener.connected(clientId),
      lost() {
        lost = true
      },
    })
    return {
      subscribe: (channel) => bus.subscribe(channel),
      unsubscribe: (channel) => bus.unsubscribe(channel),
      ping: async () => {},
      close: () => bus.close(),
    }
  }
}
