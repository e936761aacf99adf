// The script that changes the generations hash, and how scripts of this kind pass on a full server. One slot: the revision shares that of the hash.

/**
 * What stands before a script that a full server is to let through: since Redis 7 a flag. Servers before that know none, and look at their memory until
 * a script writes for the first time: taking a field away that is not there is such a write, and allowed.
 */
export const WHEN_FULL = ['#!lua flags=allow-oom', "redis.pcall('HDEL', KEYS[1], 'cachectl~none')"] as const

/**
 * Fields of the hash and a new revision, together: a process that ended between them would leave two that know the same revision and another hash.
 * KEYS: hash, revision. ARGV: HSET or HSETNX, new revision, fields and values.
 */
export const CHANGE_CONTROL = `
for index = 3, #ARGV, 2 do redis.call(ARGV[1], KEYS[1], ARGV[index], ARGV[index + 1]) end
redis.call('SET', KEYS[2], ARGV[2])
return 1`
