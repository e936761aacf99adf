// One way to run a statement, over whatever the user's config gives: a pool, a client, a query function, a URL.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Row } from '../../ports.ts'
import { abortable } from './abortable.ts'
import { sourceFailed, sourceInvalid } from './source-error.ts'

/** Runs one statement with `$1` placeholders; answers its rows, bare or as `{ rows }`. */
export type SqlQuery = (text: string, values: unknown[]) => Promise<readonly Row[] | { rows: readonly Row[] }>

/** A pool or client of `pg`, a PGlite, and whatever else has their `query`. */
export interface SqlClient {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}

export interface SqlConnectOptions {
  /** Called when the source is first used, never before. A URL is opened as `url` is. */
  client?: () => SqlClient | SqlQuery | string | Promise<SqlClient | SqlQuery | string>
  /** `postgresql://user:password@host:5432/database`; needs the package `pg` in the project. */
  url?: string | undefined
  /** How to close what `client` gave, instead of its `end()` or `close()`. */
  close?: (client: SqlClient | SqlQuery) => unknown
}

export interface Database {
  /** @throws CachectlError SOURCE_FAILED, or the signal's reason. */
  query(text: string, values: unknown[], signal: AbortSignal): Promise<readonly Row[]>
  close(): Promise<void>
}

const CONNECT_MS = 5_000
const CLOSE_MS = 1_000

interface PgConnection extends SqlClient {
  processID: number
  release(): void
}

interface PgPool extends SqlClient {
  connect(): Promise<PgConnection>
  end(): Promise<void>
  on(event: 'error', listener: () => void): unknown
}

interface PgClient extends SqlClient {
  connect(): Promise<unknown>
  end(): Promise<void>
  on(event: 'error', listener: () => void): unknown
}

interface PgDriver {
  Pool: new (settings: object) => PgPool
  Client: new (settings: object) => PgClient
}

/** The project's own `pg`; else one beside cachectl. */
async function loadDriver(): Promise<PgDriver> {
  for (const from of [join(process.cwd(), 'package.json'), import.meta.url]) {
    let path: string
    try {
      path = createRequire(from).resolve('pg')
    } catch {
      continue
    }
    return ((await import(pathToFileURL(path).href)) as { default: PgDriver }).default
  }
  throw sourceInvalid(
    'a source with a PostgreSQL URL needs the package `pg`, which is not installed',
    'npm install pg, or give the source a `client`',
  )
}

function passwordsOf(url: string): string[] {
  const encoded = /^[^:]+:\/\/[^:@/]*:(.*)@/.exec(url)?.[1] ?? ''
  try {
    return [encoded, decodeURIComponent(encoded)]
  } catch {
    return [encoded]
  }
}

/** On abort the query is cancelled, too, on a connection made for that; its own is kept until then, so that no other query is hit. */
async function queryAndCancel(
  driver: PgDriver,
  pool: PgPool,
  settings: object,
  text: string,
  values: unknown[],
  signal: AbortSignal,
) {
  const connection = await pool.connect()
  let cancelled: Promise<unknown> = Promise.resolve()
  const cancel = async () => {
    const other = new driver.Client(settings)
    other.on('error', () => {})
    await other.connect()
    await other.query('select pg_cancel_backend($1)', [connection.processID])
    await other.end()
  }
  const onAbort = () => {
    cancelled = cancel().catch(() => {})
  }
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    return await connection.query(text, values)
  } finally {
    signal.removeEventListener('abort', onAbort)
    await cancelled
    connection.release()
  }
}

async function openUrl(url: string): Promise<{ run: Run; end: () => Promise<void>; secrets: string[] }> {
  if (!/^postgres(ql)?:\/\//.test(url)) throw sourceInvalid('the URL of a sql source must begin with postgresql://')
  const driver = await loadDriver()
  const settings = {
    connectionString: url,
    max: 4,
    connectionTimeoutMillis: CONNECT_MS,
    application_name: 'cachectl',
    allowExitOnIdle: true, // a program that is done ends, also where nobody closed its sources
  }
  const secrets = passwordsOf(url)
  try {
    const pool = new driver.Pool(settings)
    pool.on('error', () => {}) // an idle connection that breaks: the next query tells
    const run: Run = (text, values, signal) => queryAndCancel(driver, pool, settings, text, values, signal)
    return { run, end: () => pool.end(), secrets }
  } catch (thrown) {
    throw sourceFailed('opening the database', thrown, secrets)
  }
}

type Run = (text: string, values: unknown[], signal: AbortSignal) => Promise<unknown>

/** Several models often share one pool; it is to be ended once. */
const closing = new WeakMap<object, Promise<void>>()

function closeOnce(client: SqlClient | SqlQuery, close: SqlConnectOptions['close']): Promise<void> {
  const known = closing.get(client)
  if (known !== undefined) return known
  const { end, close: ownClose } = client as { end?: () => unknown; close?: () => unknown }
  const how = close ? () => close(client) : () => (end ?? ownClose)?.call(client)
  const done = (async () => void (await how()))()
  closing.set(client, done)
  return done
}

function useClient(client: SqlClient | SqlQuery, close: SqlConnectOptions['close']) {
  const isQuery = typeof client === 'function'
  if (!isQuery && typeof client?.query !== 'function') {
    throw sourceInvalid(
      '`client` of a sql source must give a pool, a client or a query function',
      'for example `client: () => pool`',
    )
  }
  // A pool without a listener ends the process when one of its idle connections breaks.
  const emitter = client as {
    on?: (event: string, listener: () => void) => unknown
    listenerCount?: (event: string) => number
  }
  if (emitter.on && emitter.listenerCount?.('error') === 0) emitter.on('error', () => {})
  const run: Run = isQuery ? (text, values) => client(text, values) : (text, values) => client.query(text, values)
  return { run, end: () => closeOnce(client, close), secrets: [] as string[] }
}

function rowsOf(answer: unknown): readonly Row[] {
  const rows = Array.isArray(answer) ? answer : (answer as { rows?: unknown } | null)?.rows
  if (!Array.isArray(rows))
    throw sourceInvalid('the query function of a sql source must answer rows, as an array or as `{ rows }`')
  return rows as Row[]
}

/** What a source has that was given none. */
export const NO_DATABASE = 'no database: neither `client` nor `url` is set'

/** Opens what the options name. `table` is for messages. */
export async function openDatabase(options: SqlConnectOptions, table: string, signal: AbortSignal): Promise<Database> {
  const doing = `reading table "${table}"`
  const given = options.client ? await openGiven(options.client, doing, signal) : options.url
  if (given === undefined || given === '') {
    const hint = 'set the variable that the config reads; note that cron does not read your shell profile'
    throw sourceInvalid(`the source of table "${table}" has ${NO_DATABASE}`, hint)
  }
  const { run, end, secrets } = typeof given === 'string' ? await openUrl(given) : useClient(given, options.close)
  return {
    async query(text, values, abort) {
      abort.throwIfAborted()
      try {
        return rowsOf(await abortable(run(text, values, abort), abort))
      } catch (thrown) {
        throw abort.aborted ? abort.reason : sourceFailed(doing, thrown, secrets)
      }
    },
    async close() {
      // A pool waits for the query that hangs; the program does not.
      const lapse = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref())
      await Promise.race([end(), lapse]).catch((thrown) => {
        throw sourceFailed(`closing the database of table "${table}"`, thrown, secrets)
      })
    },
  }
}

async function openGiven(client: NonNullable<SqlConnectOptions['client']>, doing: string, signal: AbortSignal) {
  try {
    return await abortable(Promise.resolve(client()), signal)
  } catch (thrown) {
    throw signal.aborted ? signal.reason : sourceFailed(doing, thrown)
  }
}
