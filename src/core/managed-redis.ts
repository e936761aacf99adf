// Managed services, which do not let CONFIG change a server: by what they are recognised, and where the setting is there.
import type { SettingName, SettingValue } from './server-policy.ts'
import { settingText } from './server-policy.ts'

export interface ManagedService {
  name: string
  /** What to do there for these settings, a line each. */
  instructions: readonly string[]
}

type Changes = readonly { setting: SettingName; wanted: SettingValue }[]

interface Service {
  name: string
  /** of the host name, or of the text with which it refuses */
  pattern: RegExp
  instructions(changes: Changes): string[]
}

const SERVICES: readonly Service[] = [
  {
    name: 'Amazon MemoryDB',
    pattern: /\.memorydb\.[\w-]+\.amazonaws\.com/i,
    instructions: (changes) => amazon(changes, 'memorydb update-parameter-group --parameter-group-name <group>'),
  },
  {
    name: 'Amazon ElastiCache Serverless',
    pattern: /\.serverless\.[\w-]+\.cache\.amazonaws\.com/i,
    instructions: () => [
      'a serverless cache has no parameter group: it evicts by volatile-lru, and its size is set by',
      'aws elasticache modify-serverless-cache --serverless-cache-name <cache> --cache-usage-limits DataStorage={Maximum=<GB>,Unit=GB}',
    ],
  },
  {
    name: 'Amazon ElastiCache',
    pattern: /\.cache\.amazonaws\.com/i,
    instructions: (changes) =>
      amazon(changes, 'elasticache modify-cache-parameter-group --cache-parameter-group-name <group>'),
  },
  {
    name: 'Azure',
    pattern: /\.(redis\.cache\.windows\.net|redis\.azure\.net|redisenterprise\.cache\.azure\.net)/i,
    instructions: (changes) =>
      withSize(
        changes,
        'the size of the instance decides maxmemory: choose another one in the portal',
        (one) => `az redis update --name <name> --resource-group <group> --set "redisConfiguration.${one}"`,
      ),
  },
  {
    name: 'Google Memorystore',
    pattern: /memorystore/i,
    instructions: (changes) =>
      changes.map(
        (one) =>
          `gcloud redis instances update <instance> --region <region> --update-redis-config ${memorystoreAssignment(one)}`,
      ),
  },
  {
    name: 'Upstash',
    pattern: /\.upstash\.io/i,
    instructions: () => [
      'the plan of the database decides its size; eviction is a switch of the database in the console (Configuration, Eviction)',
    ],
  },
  {
    name: 'Redis Cloud',
    pattern: /\.(redislabs\.com|redis-cloud\.com|rlrcp\.com)/i,
    instructions: (changes) =>
      withSize(
        changes,
        'maxmemory is the memory limit of the database: Configuration, General, Dataset size',
        (one) => `in the console: the database, Configuration, Durability and Data eviction policy: ${one}`,
      ),
  },
]

/** Null: none that is known. `refusal`: how CONFIG was refused. */
export function managedService(endpoints: readonly string[], refusal: string, changes: Changes): ManagedService | null {
  const service = SERVICES.find(({ pattern }) => [...endpoints, refusal].some((text) => pattern.test(text)))
  return service ? { name: service.name, instructions: service.instructions(changes) } : null
}

function assignment({ setting, wanted }: Changes[number]): string {
  return `${setting}=${settingText(wanted)}`
}

function amazon(changes: Changes, command: string): string[] {
  return withSize(
    changes,
    'maxmemory is what the node type has, less reserved-memory-percent: choose another node type, or change that parameter',
    (one) => {
      const [name, value] = one.split('=')
      return `aws ${command} --parameter-name-values "ParameterName=${name},ParameterValue=${value}"`
    },
  )
}

/** Where the size of what was bought is the limit. */
function withSize(changes: Changes, size: string, line: (assignment: string) => string): string[] {
  return changes.map((one) => (one.setting === 'maxmemory' ? size : line(assignment(one))))
}

function memorystoreAssignment(change: Changes[number]): string {
  return change.setting === 'maxmemory' ? `maxmemory-gb=${Number(change.wanted) / 1024 ** 3}` : assignment(change)
}
