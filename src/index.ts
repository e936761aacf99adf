// The library's door: what an application and a cache.config.ts import. Reaches neither commander nor anything else of the command line.
export { file } from './adapters/sources/file.ts'
export { fn } from './adapters/sources/fn.ts'
export { sql } from './adapters/sources/sql.ts'
export { defineConfig } from './config/define-config.ts'
export { CachectlError, EXIT } from './core/errors.ts'
export type { Id, ListQuery, Row, Selection, Source, SourceRow, Strategy } from './ports.ts'
