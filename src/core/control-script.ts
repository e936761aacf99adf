// The script that changes the generations hash. One slot: the revision shares that of the hash.

/**
 * Fields of the hash and a new revision, together: a process that ended between them would leave two that know the same revision and another hash.
 * KEYS: hash, revision. ARGV: HSET or HSETNX, new revision, fields and values.
 */
export const CHANGE_CONTROL = `
for index = 3, #ARGV, 2 do redis.call(ARGV[1], KEYS[1], ARGV[index], ARGV[index + 1]) end
redis.call('SET', KEYS[2], ARGV[2])
return 1`
