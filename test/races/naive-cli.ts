// The naive variants of what the command line does, each one command away from it: the trials beside it must catch every one of them.
import type { CommandArgument, Lane, Store } from '../../src/ports.ts'

type Command = readonly CommandArgument[]

/** What is sent instead of a command. */
export type Rewrite = (command: Command) => Command

const NOTHING: Command = ['EXISTS', 'no such key']
const startsWith = (argument: CommandArgument | undefined, part: string) => String(argument).includes(part)

/** `EVAL script 3 hash revision records …` */
const isBump = (command: Command) => command[0] === 'EVAL' && command[2] === 3

/** Each leaves out one thing that an invalidation does. */
export const NAIVE_CLI = {
  'leases stay': (command) => (command[0] === 'UNLINK' && startsWith(command[1], '~lease:') ? NOTHING : command),
  'nobody is told': (command) => command.map((part) => (startsWith(part, '~processes') ? 'elsewhere' : part)),
  'no advance': (command) => (command[0] === 'EVAL' && command[5] === 'HSET' ? NOTHING : command),
  'stamps stay': (command) => (command[0] === 'UNLINK' && startsWith(command[1], '~stamp:') ? NOTHING : command),
  'no bump': (command) => (isBump(command) ? [...command.slice(0, 3), 'elsewhere', ...command.slice(4)] : command),
  'silent bump': (command) => (isBump(command) ? [...command.slice(0, 4), 'elsewhere', ...command.slice(5)] : command),
} satisfies Record<string, Rewrite>

function rewritingLane(lane: Lane, rewrite: Rewrite): Lane {
  return new Proxy(lane, {
    get(target, name) {
      if (name !== 'page') {
        const value = Reflect.get(target, name, target) as unknown
        return typeof value === 'function' ? value.bind(target) : value
      }
      return () => {
        const page = target.page()
        const add = page.add.bind(page)
        page.add = (...command) => add(...rewrite(command))
        return page
      }
    },
  })
}

export function rewritingStore(store: Store, rewrite: Rewrite): Store {
  return {
    identity: () => store.identity(),
    info: () => store.info(),
    layout: () => store.layout(),
    history: () => store.history(),
    settling: () => store.settling(),
    callEach: (...command) => store.callEach(...command),
    supports: (command) => store.supports(command),
    close: () => store.close(),
    lane: async (options) => rewritingLane(await store.lane(options), rewrite),
    call: (...command) => store.call(...rewrite(command)),
    async masters() {
      const masters = await store.masters()
      return masters.map((master) => ({
        id: master.id,
        lane: async (options) => rewritingLane(await master.lane(options), rewrite),
      }))
    },
  }
}
