// The script that captures a stamp before a load: the library and bulk writes use the same.

/**
 * The stamp as it is, or a new one where there is none; it lives at least as long as the entry that will hold it.
 * KEYS: stamp. ARGV: a new random text, ttl in ms or '' for none. Returns the stamp.
 */
export const CAPTURE_STAMP = `
local stamp = redis.call('GET', KEYS[1])
if not stamp then
  if ARGV[2] == '' then redis.call('SET', KEYS[1], ARGV[1]) else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
  return ARGV[1]
end
local left = redis.call('PTTL', KEYS[1])
if ARGV[2] == '' then
  if left >= 0 then redis.call('PERSIST', KEYS[1]) end
elseif left >= 0 and left < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return stamp`
