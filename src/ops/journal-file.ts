// The local journal: a file of lines for what Redis could not take. Only its user can read it.
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** A journal that nobody looks at must not fill the disk: a larger file becomes the older one, and the one before that goes. */
const LARGEST_BYTES = 4 * 1024 * 1024

export function journalFile(stateDir: string, prefix: string): string {
  return join(stateDir, 'journal', `${encodeURIComponent(prefix)}.ndjson`)
}

function olderFile(path: string): string {
  return path.replace(/\.ndjson$/, '.1.ndjson')
}

/** On the disk when it resolves. @throws the error of the file system */
export async function appendLine(path: string, line: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const { size } = await stat(path).catch(() => ({ size: 0 }))
  if (size > LARGEST_BYTES) await rename(path, olderFile(path))
  const file = await open(path, 'a+', 0o600)
  try {
    // One write: lines of several processes do not mix. Behind a line that a full disk has cut off, a new one begins.
    await file.appendFile(`${(await endsWithin(file)) ? '\n' : ''}${line}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function endsWithin(file: Awaited<ReturnType<typeof open>>): Promise<boolean> {
  const { size } = await file.stat()
  if (size === 0) return false
  const { buffer } = await file.read({ buffer: Buffer.alloc(1), position: size - 1 })
  return buffer[0] !== 0x0a
}

/** Oldest first; none where there is no file. @throws the error of the file system */
export async function readLines(path: string): Promise<string[]> {
  const texts = await Promise.all([olderFile(path), path].map(readText))
  return texts.flatMap((text) => text.split('\n')).filter((line) => line !== '')
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw thrown
  }
}
