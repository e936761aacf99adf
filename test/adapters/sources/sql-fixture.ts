// Tables for tests of the sql source, filled over any query function.
import type { ContractRow } from './source-contract.ts'

export type RunSql = (text: string, values?: unknown[]) => Promise<unknown>

let tables = 0

/** A new table with the contract's rows; answers its name. */
export async function contractTable(query: RunSql, rows: readonly ContractRow[]): Promise<string> {
  const name = `contract_${++tables}`
  await query(
    `create table ${name} (id integer primary key, name text, org text not null, score integer, updated_at timestamptz)`,
  )
  await query(
    `insert into ${name} select * from json_to_recordset($1::json) as r(id integer, name text, org text, score integer, updated_at timestamptz)`,
    [JSON.stringify(rows)],
  )
  return name
}
