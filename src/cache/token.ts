// Random texts of control data.
import { randomBytes } from 'node:crypto'

/** 96 random bits: unique for ever, so that no token ever means "the same as before" again. */
export function newToken(): string {
  return randomBytes(12).toString('base64url')
}
