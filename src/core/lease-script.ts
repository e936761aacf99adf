// The scripts that fill an entry under its lease. One slot each: a lease shares the slot of its entry.

/** DEL of a key that still holds our token. KEYS: key. ARGV: token. */
export const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`

/** A new TTL for a key that still holds our token. KEYS: key. ARGV: token, ttl in ms. */
export const RENEW = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`

/**
 * Writes what was loaded if the lease that was taken before the load is still ours, gives the lease back, and wakes who waits.
 * KEYS: entry, lease. ARGV: token, value, ttl in ms or '', channel. 1: written, 0: refused.
 */
export const FILL_LEASED = `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
redis.call('DEL', KEYS[2])
redis.pcall('PUBLISH', ARGV[4], '')
return 1`

/**
 * Another freshness and TTL for an entry, its value as it is. KEYS: entry. ARGV: grace and fresh-until as they stand in its header, ttl in ms or ''.
 * 1: done, 0: there is no entry.
 */
export const TOUCH = `
if redis.call('TYPE', KEYS[1]).ok ~= 'string' or redis.call('GETRANGE', KEYS[1], 0, 4) ~= 'cctl1' then return 0 end
redis.call('SETRANGE', KEYS[1], 22, ARGV[1])
redis.call('SETRANGE', KEYS[1], 48, ARGV[2])
if ARGV[3] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1`

/**
 * Puts a line in front of the log of invalidated stamps, whose end is forgotten. Where there is no memory for it, the log goes: whoever looks for
 * what it captured in it does not find it, and refuses. KEYS: log. ARGV: lines, bytes that are kept.
 */
export const LOG_STAMPS = `
local log = redis.call('GET', KEYS[1]) or ''
local set = redis.pcall('SET', KEYS[1], string.sub(ARGV[1] .. log, 1, tonumber(ARGV[2])))
if set.err then redis.call('DEL', KEYS[1]) end
return 1`
