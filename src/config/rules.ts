// What no single option can say of itself: names that clash, references that lead nowhere, options that need or exclude each other.
import { CachectlError } from '../core/errors.ts'
import { assertPattern } from '../core/pattern.ts'
import { TARGET_WORDS } from '../core/target.ts'
import { checkModels, STANDARD_NAMESPACES } from './model-rules.ts'
import { patternsOverlap } from './overlap.ts'
import type { Place } from './problems.ts'
import { checkRedis } from './redis-servers.ts'
import type { ReadConfig, ReadNamespace } from './schema.ts'

export function checkRules(config: ReadConfig, root: Place): void {
  if (config.prefix === undefined)
    root.at('prefix').report('is missing', "write the first segment of all keys: `prefix: 'shop'`")
  if (config.tenant && config.tenant.label === undefined)
    root.at('tenant').at('label').report('is missing', "write what tenants are called in keys: `label: 'org'`")
  checkRedis(config, root)
  checkNames(config, root)
  for (const [name, namespace] of Object.entries(config.namespaces ?? {}))
    checkNamespace(config, name, namespace, root.at('namespaces').at(name))
  checkRawPatterns(config, root.at('namespaces'))
  checkModels(config, root.at('models'))
  for (const [index, pattern] of (config.protect ?? []).entries()) checkPattern(pattern, root.at('protect').at(index))
  const { budget, server } = config
  if (budget?.maxMemory && server?.maxmemory && budget.maxMemory > server.maxmemory) {
    root.at('budget').at('maxMemory').report('is more than the memory of the server (`server.maxmemory`)')
  }
}

/** A bare word on the command line is a model, `org:7` a tenant, and the words of the grammar are themselves. */
function checkNames({ models = {}, namespaces = {}, tenant }: ReadConfig, root: Place): void {
  const words: readonly string[] = TARGET_WORDS
  const refuseWord = (name: string, place: Place) => {
    if (words.includes(name))
      place.report(`\`${name}\` is a word of targets (${words.join(', ')})`, 'choose another name')
  }
  for (const name of Object.keys(namespaces)) refuseWord(name, root.at('namespaces').at(name))
  for (const name of Object.keys(models)) {
    const place = root.at('models').at(name)
    refuseWord(name, place)
    const taken = Object.hasOwn(namespaces, name) || (STANDARD_NAMESPACES as readonly string[]).includes(name)
    if (taken)
      place.report(
        `\`${name}\` is also a namespace`,
        'give the model another name; its keys can keep theirs with `subject`',
      )
  }
  const label = tenant?.label
  if (label === undefined) return
  const place = root.at('tenant').at('label')
  refuseWord(label, place)
  if (Object.hasOwn(models, label))
    place.report(`\`${label}\` is also a model, so \`${label}:7\` would mean two things`, 'choose another label')
}

function checkNamespace(config: ReadConfig, name: string, namespace: ReadNamespace, place: Place): void {
  const raw = namespace.format === 'raw'
  if (raw && namespace.key === undefined)
    place
      .at('key')
      .report(
        'is missing: a raw namespace says where its keys are',
        "write `key: 'sess:*'` or `key: '{subject}:v{version}:{rest}'`",
      )
  if (!raw && namespace.key !== undefined) place.at('key').report('is only for raw namespaces', "add `format: 'raw'`")
  if (!raw && namespace.versionKey !== undefined)
    place.at('versionKey').report('is only for raw namespaces', "add `format: 'raw'`")
  if (namespace.key !== undefined) checkRawKey(config, namespace.key, place.at('key'))
  if (namespace.ttl === null && (namespace.grace ?? 0) > 0)
    place.at('grace').report(`has no meaning where nothing expires (\`ttl: 'never'\` of ${name})`)
}

function checkRawKey({ prefix }: ReadConfig, key: string, place: Place): void {
  const names = [...key.matchAll(/\{([^{}]*)\}/g)].map(([, name]) => name ?? '')
  const known = ['subject', 'version', 'tenant', 'rest']
  for (const name of names)
    if (!known.includes(name))
      place.report(`\`{${name}}\` is no part of a key`, `there are: ${known.map((part) => `{${part}}`).join(', ')}`)
  if (new Set(names).size < names.length) place.report('names a part twice')
  if (names.length === 0) checkPattern(key, place)
  if (prefix === undefined) return
  const own = [`${prefix}:`, `${prefix}~`].find((start) => patternsOverlap(key, `${start}*`))
  if (own !== undefined)
    place.report(
      `can match keys that begin with \`${own}\`, which are cachectl's own`,
      'begin it with what only those keys begin with',
    )
}

function checkRawPatterns({ namespaces = {} }: ReadConfig, place: Place): void {
  const raw = Object.entries(namespaces).filter(([, { format, key }]) => format === 'raw' && key !== undefined)
  for (const [index, [name, { key = '' }]] of raw.entries()) {
    const other = raw.slice(0, index).find(([, earlier]) => patternsOverlap(key, earlier.key ?? ''))
    if (other)
      place
        .at(name)
        .at('key')
        .report(`can match the same keys as \`${other[1].key}\` of ${other[0]}`, 'make one of them narrower')
  }
}

function checkPattern(pattern: string, place: Place): void {
  try {
    assertPattern(pattern)
  } catch (error) {
    if (!(error instanceof CachectlError)) throw error
    place.report(error.message, error.hint)
  }
}
