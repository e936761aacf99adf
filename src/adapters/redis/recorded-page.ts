// A page whose commands are kept as they are, for lanes that look at them before they send them.
import type { CommandArgument, Page } from '../../ports.ts'

export class RecordedPage implements Page {
  readonly commands: (readonly CommandArgument[])[] = []
  readonly scattered = true
  sizeBytes = 0

  get length(): number {
    return this.commands.length
  }

  add(...args: readonly CommandArgument[]): void {
    this.commands.push(args)
    for (const argument of args) this.sizeBytes += typeof argument === 'number' ? 8 : Buffer.byteLength(argument)
  }

  addSet(key: string, value: string | Buffer, ttlMs: number | null, nx: boolean): void {
    this.add('SET', key, value, ...(ttlMs === null ? [] : ['PX', ttlMs]), ...(nx ? ['NX'] : []))
  }
}
