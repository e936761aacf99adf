// Whose request it is. In a shop of your own both come from the session; here two headers say it, so that curl can.
import type { Request, RequestHandler } from 'express'
import { cache } from './cache.ts'

/** Runs the rest of the request in its organisation: every key that it reads or writes is that organisation's. */
export const inOrganisation: RequestHandler = (req, res, next) => {
  const org = req.get('x-org')
  if (org) cache.runWithTenant(org, next)
  else res.status(400).json({ error: 'say which organisation: x-org: north' })
}

export function organisationOf(req: Request): string {
  return String(req.get('x-org'))
}

/** Null: nobody is logged in. */
export function customerOf(req: Request): number | null {
  return Number(req.get('x-customer')) || null
}
