// Makes a cache answer everything from its source: what the shop costs without one. For measuring only.

// biome-ignore lint/suspicious/noExplicitAny: one shape for loaders of all kinds
type Anything = any

export function withoutModels<C extends { models?: object }>(config: C): C {
  const models = Object.entries(config.models ?? {}).map(([name, model]) => [name, { ...model, enabled: false }])
  return { ...config, models: Object.fromEntries(models) }
}

export function switchOff(cache: object): void {
  const straight = (_req: unknown, _res: unknown, next: () => void) => next()
  Object.assign(cache, {
    getOrSet: async (_namespace: string, _path: unknown, load: () => unknown) => load(),
    fn: (_namespace: string, fn: Anything) => Object.assign(fn, { invalidate: async () => {} }),
    cached: () => (method: Anything) => method,
    fragment: Object.assign(async (_name: string, _parts: unknown, render: () => unknown) => render(), {
      invalidate: async () => {},
    }),
    http: { express: () => straight, resource: () => straight },
  })
}
