// The scripts that ask processes of a version of the code whether there are any, and forget versions of which nothing is left.
import { CODE_VERSION_FIELD, LEAVING_VERSION_FIELD } from './control-key.ts'

/**
 * Takes versions off the list of the registered ones: with its next read each of their processes finds another revision, reads the hash, and registers
 * again before it trusts anything. Until they are forgotten, invalidations cover them as before.
 * KEYS: hash, revision. ARGV: new revision, then names: `1`, `1.2:product`. Returns how many were registered.
 */
export const ASK_VERSIONS = `
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local asked = 0
for i = 2, #ARGV do
  if redis.call('HDEL', KEYS[1], '${CODE_VERSION_FIELD}' .. ARGV[i]) == 1 then
    redis.call('HSET', KEYS[1], '${LEAVING_VERSION_FIELD}' .. ARGV[i], now)
    asked = asked + 1
  end
end
if asked > 0 then redis.call('SET', KEYS[2], ARGV[1]) end
return asked`

/**
 * Forgets versions that have not answered since they were asked at that time: nothing of theirs is left, and nothing can be written by who has not
 * registered again. Of those that have, that they were asked.
 * KEYS: hash, revision. ARGV: new revision, then name and time in turn. Returns how many are forgotten.
 */
export const FORGET_VERSIONS = `
local forgotten = 0
for i = 2, #ARGV, 2 do
  local leaving = '${LEAVING_VERSION_FIELD}' .. ARGV[i]
  if redis.call('HGET', KEYS[1], leaving) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], leaving)
    if redis.call('HEXISTS', KEYS[1], '${CODE_VERSION_FIELD}' .. ARGV[i]) == 0 then forgotten = forgotten + 1 end
  end
end
if forgotten > 0 then redis.call('SET', KEYS[2], ARGV[1]) end
return forgotten`
