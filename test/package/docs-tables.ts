// Tables of the docs, made from the code that they speak of: commands, exit codes, environment, config, findings.
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import ts from 'typescript'
import { createProgram } from '../../src/cli/program.ts'
import { createSession } from '../../src/cli/session.ts'
import { ENVIRONMENT } from '../../src/config/environment.ts'
import { FINDINGS } from '../../src/core/diagnose.ts'
import { EXIT_MEANINGS } from '../../src/core/errors.ts'
import { testIo } from '../cli/test-io.ts'

const cell = (text: string) => text.replaceAll('|', '\\|').replace(/\s+/g, ' ')
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => '---'), ...rows].map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n')

export function exitCodeTable(): string {
  return table(
    ['code', 'meaning'],
    Object.entries(EXIT_MEANINGS).map(([code, meaning]) => [code, meaning]),
  )
}

export function environmentTable(): string {
  return table(
    ['variable', 'meaning'],
    Object.entries(ENVIRONMENT).map(([name, meaning]) => [`\`${name}\``, meaning]),
  )
}

export function findingsTable(): string {
  return table(
    ['finding', 'severity', 'when', 'what to do', 'next'],
    FINDINGS.map(({ id, severity, threshold, advice, next }) => [
      `\`${id}\``,
      severity,
      threshold,
      advice,
      next ? `\`${next}\`` : '',
    ]),
  )
}

export function commandTables(): string {
  const program = createProgram(createSession(testIo().io))
  const leaves = (command: Command): Command[] =>
    command.commands.length > 0 ? command.commands.flatMap(leaves) : [command]
  const named = leaves(program).filter((command) => command.name() !== 'help')
  const parts = named.map((command) =>
    `### \`${usageOf(command)}\`\n\n${sentence(command.description())}\n\n${flagTable(command)}`.trim(),
  )
  return [...parts, `### Every command\n\n${flagTable(program)}`].join('\n\n')
}

function usageOf(command: Command): string {
  const path: string[] = []
  for (let at: Command | null = command; at; at = at.parent) path.unshift(at.name())
  return [
    ...path,
    ...command.registeredArguments.map((argument) =>
      argument.required ? `<${argument.name()}>` : `[${argument.name()}${argument.variadic ? '...' : ''}]`,
    ),
  ].join(' ')
}

function flagTable(command: Command): string {
  const rows = command.options.map((option) => {
    const choices = option.argChoices ? ` (${option.argChoices.join(', ')})` : ''
    const byDefault =
      option.defaultValue === undefined || option.defaultValue === true
        ? ''
        : ` Default: ${option.defaultValueDescription ?? option.defaultValue}.`
    return [`\`${option.flags}\``, `${option.description}${choices}.${byDefault}`]
  })
  return rows.length === 0 ? '' : table(['flag', 'meaning'], rows)
}

const sentence = (text: string) => `${text[0]?.toUpperCase()}${text.slice(1)}.`

/** From the types of the config and the comments on them: what an editor shows is what the table says. */
export function configTables(): string {
  const file = new URL('../../src/config/define-config.ts', import.meta.url)
  const source = ts.createSourceFile('define-config.ts', readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
  const interfaces = new Map<string, ts.InterfaceDeclaration>()
  source.forEachChild((node) => {
    if (ts.isInterfaceDeclaration(node)) interfaces.set(node.name.text, node)
  })
  const titles: Record<string, string> = {
    Config: 'The config',
    LifetimeOptions: '`defaults`, and of each namespace',
    NamespaceOptions: '`namespaces.<name>`, also',
    BudgetOptions: '`budget`',
    ModelOptions: '`models.<name>`',
    WarmOptions: '`models.<name>.warm`',
    ListOptions: '`models.<name>.lists.<name>`',
    ServerOptions: '`server`',
    TlsOptions: '`redis.tls`',
  }
  return Object.entries(titles)
    .map(([name, title]) => {
      const found = interfaces.get(name)
      if (!found) throw new Error(`define-config.ts has no interface ${name}`)
      return `**${title}**\n\n${table(
        ['option', 'value', 'meaning'],
        found.members.filter(ts.isPropertySignature).map((member) => optionRow(member, source)),
      )}`
    })
    .join('\n\n')
}

function optionRow(member: ts.PropertySignature, source: ts.SourceFile): string[] {
  const comments = ts.getLeadingCommentRanges(source.text, member.pos) ?? []
  const text = comments.map(({ pos, end }) => source.text.slice(pos, end)).join(' ')
  const meaning = text.replace(/\/\*\*|\*\/|^\s*\*/gm, '').trim()
  return [`\`${member.name.getText()}\``, `\`${member.type?.getText().replace(/\s+/g, ' ') ?? ''}\``, meaning]
}
