// What is wrong with a config, as data: where, what, and what to write instead.

export interface Problem {
  /** `models.product.lists.byCountry.size`; empty: the config as a whole */
  path: string
  message: string
  suggestion: string | null
}

/** The problems found so far, one a path: what is said of a value first is the cause of what could be said of it later. */
export class Problems {
  readonly #byPath = new Map<string, Problem>()

  add(problem: Problem): void {
    if (!this.#byPath.has(problem.path)) this.#byPath.set(problem.path, problem)
  }

  get all(): readonly Problem[] {
    return [...this.#byPath.values()]
  }
}

/** A place in the config. Whoever reads a value there reports its problem to it. */
export class Place {
  readonly path: string
  readonly #problems: Problems

  constructor(problems: Problems, path = '') {
    this.#problems = problems
    this.path = path
  }

  at(key: string | number): Place {
    const step = typeof key === 'number' ? `[${key}]` : /^[\w$@-]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
    return new Place(this.#problems, `${this.path}${step}`.replace(/^\./, ''))
  }

  report(message: string, suggestion: string | null = null): void {
    this.#problems.add({ path: this.path, message, suggestion })
  }
}

const MOST_SHOWN = 50

/** All of them for a person: a heading, and a line each. */
export function describeProblems(name: string, problems: readonly Problem[]): string {
  const lines = problems.slice(0, MOST_SHOWN).map((problem) => `  ${describeProblem(problem)}`)
  if (problems.length > MOST_SHOWN) lines.push(`  and ${problems.length - MOST_SHOWN} more`)
  return [`${name} has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:`, ...lines].join('\n')
}

export function describeProblem({ path, message, suggestion }: Problem): string {
  return `${path === '' ? 'the config' : path} ${message}${suggestion === null ? '' : `; ${suggestion}`}`
}
