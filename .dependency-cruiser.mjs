// The layers of the code, as a rule that fails the build. CONTRIBUTING.md has them as a map.
const folder = (name) => `^src/${name}/`

/** What applications import. */
const DOORS = '^src/(index|keyv|orm/(prisma|drizzle))\\.ts$'

/** What each layer may import, besides itself. Nothing that is not listed. */
const LAYERS = {
  core: [],
  config: ['core', 'ports'],
  adapters: ['core', 'ports'],
  cache: ['core', 'ports'],
  http: ['core', 'ports', 'cache'],
  orm: ['core', 'ports', 'cache'],
  ops: ['core', 'ports', 'config', 'adapters', 'cache'],
  render: ['core', 'ports', 'ops'],
  cli: ['core', 'ports', 'config', 'ops', 'render'],
}

const layerRules = Object.entries(LAYERS).map(([layer, allowed]) => ({
  name: `layer-${layer}`,
  comment: `src/${layer} may import ${[layer, ...allowed].join(', ')} and packages`,
  severity: 'error',
  from: { path: folder(layer) },
  to: {
    path: '^(src|bin)/',
    pathNot: [layer, ...allowed].map((name) => (name === 'ports' ? '^src/ports\\.ts$' : folder(name))),
    // Types of the resolved config and of ports reach everywhere; they are no code.
    dependencyTypesNot: ['type-only'],
  },
}))

export default {
  forbidden: [
    ...layerRules,
    {
      name: 'core-is-pure',
      comment:
        'core has no I/O, clock or environment; hashing and compression are pure functions that Node happens to hold (docs/decisions.md)',
      severity: 'error',
      from: { path: folder('core') },
      to: { dependencyTypes: ['core', 'npm'], pathNot: '^(node:)?(crypto|zlib)$' },
    },
    {
      name: 'only-context-knows-adapters',
      comment: 'ops work on ports; the composition root is the one file that opens adapters',
      severity: 'error',
      from: { path: folder('ops'), pathNot: '^src/ops/context\\.ts$' },
      to: { path: folder('adapters') },
    },
    {
      name: 'ops-only-invalidate-by-the-library',
      comment:
        'what the command line shares with the library is how something is invalidated, not how it is read or filled',
      severity: 'error',
      from: { path: folder('ops') },
      to: {
        path: folder('cache'),
        pathNot:
          '^src/cache/(announce|control-mirror|invalidating|kernel|link|model-changes|processes|tiers|token)\\.ts$',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'config-types-only-below-cli',
      comment: 'adapters and render know the types of the config, not its code',
      severity: 'error',
      from: { path: '^src/(adapters|render)/' },
      to: { path: folder('config'), dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'library-doors-are-light',
      comment: 'what an application imports must not load the command line',
      severity: 'error',
      from: { path: DOORS },
      to: { path: 'node_modules/(commander|cosmiconfig|chalk|ora|cli-table3|esbuild)/', reachable: true },
    },
    {
      name: 'chalk-and-tables-in-render-and-cli',
      comment: 'operations never print',
      severity: 'error',
      from: { path: '^src/(core|config|adapters|ops|cache|http|orm)/' },
      to: { path: 'node_modules/(commander|chalk|ora|cli-table3)/' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-orphans',
      comment: 'code that nothing reaches is dead',
      severity: 'error',
      from: { orphan: true, pathNot: [DOORS, '\\.d\\.ts$', '^bin/'] },
      to: {},
    },
    {
      name: 'not-to-dev-dep',
      severity: 'error',
      from: { path: '^(src|bin)/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'npm-peer'] },
    },
    { name: 'not-to-test', severity: 'error', from: { path: '^(src|bin)/' }, to: { path: '^(test|bench|demo)/' } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: 'specify',
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
}
