// Fields of the hashes in which processes count what they read and load: `{namespace}:{subject}:{tenant}:{what}`, laid down in docs/contract.md.
import { decodeText, encodeText } from './key-text.ts'

export const COUNTED_EVENTS = ['l1', 'l2', 'stale', 'miss', 'set', 'load', 'error', 'uncacheable', 'refused'] as const
export type CountedEvent = (typeof COUNTED_EVENTS)[number]

/** `us`: how long the loads took together, in microseconds. */
export const COUNTER_FIELDS = [...COUNTED_EVENTS, 'us'] as const
export type CounterField = (typeof COUNTER_FIELDS)[number]

/** What one count is of: one subject and tenant, or what was summed because there were too many to tell apart. */
export interface CountedGroup {
  namespace: string
  /** null: several subjects, and several tenants */
  subject: string | null
  /** null: none, or several */
  tenant: string | null
  severalTenants: boolean
}

/** No name is written so: a star in a name is encoded. */
const SEVERAL = '*'
/** Names come from requests too, and each field is kept for hours: longer ones are not told apart. */
const MOST_LENGTH = 512

/**
 * The beginning of a group's fields: `list:city:7`, `list:city:` without tenant, `list:city:*` of several tenants, `list:*:*` of several subjects.
 * Null where a name cannot stand in a key, or is too long to be kept.
 */
export function counterGroup({ namespace, subject, tenant, severalTenants }: CountedGroup): string | null {
  try {
    const ofSubject = subject === null ? SEVERAL : encodeText(subject, 'the subject')
    const ofTenant =
      subject === null || severalTenants ? SEVERAL : tenant === null ? '' : encodeText(tenant, 'the tenant')
    const group = `${encodeText(namespace, 'the namespace')}:${ofSubject}:${ofTenant}`
    return group.length > MOST_LENGTH ? null : group
  } catch {
    return null
  }
}

/** What `counterGroup` and a name behind another colon mean; null for anything else, because anybody can write into a hash. */
export function readCounterField(field: string): { group: CountedGroup; counted: CounterField } | null {
  const [first, second, third, last, ...more] = field.split(':')
  const counted = COUNTER_FIELDS.find((name) => name === last)
  if (first === undefined || second === undefined || third === undefined || counted === undefined || more.length > 0)
    return null
  const namespace = decodeText(first)
  const severalTenants = third === SEVERAL
  const subject = second === SEVERAL ? null : decodeText(second)
  const tenant = severalTenants || third === '' ? null : decodeText(third)
  if (
    namespace === null ||
    (subject === null && second !== SEVERAL) ||
    (tenant === null && third !== '' && !severalTenants)
  )
    return null
  if (subject === null && !severalTenants) return null
  return { group: { namespace, subject, tenant, severalTenants }, counted }
}
