// The groups that a process tells apart within a minute when it counts: a bounded number, with sums of what does not fit.
import { type CountedEvent, type CountedGroup, type CounterField, counterGroup } from '../core/counter-fields.ts'

export interface CountedPlace {
  namespace: string
  subject: string
  tenant: string | null
}

/** Groups that are told apart in one minute. Beyond it tenants are summed, and beyond as many of those, subjects. */
export const MOST_GROUPS = 1000

/** The counts of one group since the last flush. */
export class Cell implements Record<CounterField, number> {
  l1 = 0
  l2 = 0
  stale = 0
  miss = 0
  set = 0
  load = 0
  error = 0
  uncacheable = 0
  refused = 0
  us = 0
  readonly of: CountedGroup
  /** the beginning of its fields */
  readonly name: string

  constructor(of: CountedGroup, name: string) {
    this.of = of
    this.name = name
  }

  /** Case by case: with `this[event]` a count takes four times as long. */
  add(event: CountedEvent, amount: number, loadMs: number): void {
    switch (event) {
      case 'l1':
        this.l1 += amount
        break
      case 'l2':
        this.l2 += amount
        break
      case 'stale':
        this.stale += amount
        break
      case 'miss':
        this.miss += amount
        break
      case 'set':
        this.set += amount
        break
      case 'load':
        this.load += amount
        this.us += loadMs * 1000
        break
      default:
        this[event] += amount
    }
  }
}

/** What has no name that could be written is counted here, and stays here. */
export const NOWHERE = new Cell({ namespace: '', subject: '', tenant: null, severalTenants: false }, '')

export class Groups {
  readonly cells: Cell[] = []
  readonly #told = new Map<string, Map<string, Map<string | null, Cell>>>()
  readonly #sums = new Map<string, Map<string | null, Cell>>()
  #ofTenants = 0
  #ofSubjects = 0

  cell({ namespace, subject, tenant }: CountedPlace): Cell {
    const known = this.#told.get(namespace)?.get(subject)?.get(tenant)
    if (known !== undefined) return known
    if (this.#ofTenants < MOST_GROUPS) {
      const cell = this.#named({ namespace, subject, tenant, severalTenants: false })
      if (cell !== null) {
        this.#ofTenants++
        childMap(childMap(this.#told, namespace), subject).set(tenant, cell)
        return cell
      }
    }
    return this.sum(namespace, subject)
  }

  /** Where the tenants of a subject are counted together; `subject` null: all that is left of the namespace. */
  sum(namespace: string, subject: string | null): Cell {
    const sums = childMap(this.#sums, namespace)
    const known = sums.get(subject) ?? (this.#ofSubjects < MOST_GROUPS ? undefined : sums.get(null))
    if (known !== undefined) return known
    if (subject !== null && this.#ofSubjects >= MOST_GROUPS) return this.sum(namespace, null)
    const cell = this.#named({ namespace, subject, tenant: null, severalTenants: true })
    if (cell === null) return subject === null ? NOWHERE : this.sum(namespace, null)
    if (subject !== null) this.#ofSubjects++
    sums.set(subject, cell)
    return cell
  }

  #named(of: CountedGroup): Cell | null {
    const name = counterGroup(of)
    if (name === null) return null
    const cell = new Cell(of, name)
    this.cells.push(cell)
    return cell
  }
}

function childMap<K, L, V>(map: Map<K, Map<L, V>>, key: K): Map<L, V> {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = new Map<L, V>()
  map.set(key, made)
  return made
}
