// What is written down of bumps: since when a generation is, by whom, which one was before it. For people and for repeated commands: nothing that decides
// whether an entry is good depends on it, so it may be lost.
import { EPOCH_FIELD, isToken } from './control-key.ts'

/** One bump of one scope. */
export interface GenerationRecord {
  /** random text of the bump: sent again under it, it is not made twice */
  op: string
  token: string
  /** the generation that it ended; null: keys without token, or it is not known */
  before: string | null
  /** the how-manieth it is, from 1 on, as far as records go back; for people */
  generation: number
  /** ms since 1970, by the clock of the server */
  sinceMs: number
  /** `user@host:pid`, `host:pid` */
  by: string
}

/** What a bump came to for one of its scopes. */
export interface Bumped {
  token: string
  before: string | null
  generation: number
  /** it had been made before, by the same operation */
  repeated: boolean
}

/** Records of one scope: the current generation, and twenty before it. */
const KEPT_A_SCOPE = 21
/** Scopes of which there are records; beyond them one is forgotten with each new one. */
const MOST_SCOPES = 1_000
const LONGEST_NAME = 80

/**
 * Bumps scopes, unless this operation has done so: then it says what came of it, also when somebody else has bumped them since. Hash and revision change
 * together; of records nothing is expected, whatever is in their place.
 * KEYS: hash, revision, records. ARGV: op, who, new revision, new epoch, then scope and new token in turn.
 * Returns whether it was done before, then token, the one before or '-', and number of the generation for each scope.
 */
export const BUMP = `
local kind = redis.call('TYPE', KEYS[3]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[3]) end
local answer = {0}
local known = {}
for i = 5, #ARGV, 2 do
  local lines = redis.call('HGET', KEYS[3], ARGV[i]) or ''
  known[i] = lines
  local current = redis.call('HGET', KEYS[1], ARGV[i]) or '-'
  local at = string.find('\\n' .. lines, '\\n' .. ARGV[1] .. ' ', 1, true)
  if at then
    answer[1] = 1
    local token, before, number = string.match(string.sub(lines, at), '^%S+ (%S+) (%S+) (%d+) ')
    for _, part in ipairs({token or current, before or '-', number or '1'}) do answer[#answer + 1] = part end
  else
    for _, part in ipairs({current, '-', '1'}) do answer[#answer + 1] = part end
  end
end
if answer[1] == 1 then return answer end
answer = {0}
redis.call('HSET', KEYS[1], '${EPOCH_FIELD}', ARGV[4])
for i = 5, #ARGV, 2 do
  local before = redis.call('HGET', KEYS[1], ARGV[i]) or '-'
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  local last = tonumber(string.match(known[i], '^%S+ %S+ %S+ (%d+) ')) or (before == '-' and 0 or 1)
  for _, part in ipairs({ARGV[i + 1], before, string.format('%.0f', last + 1)}) do answer[#answer + 1] = part end
end
redis.call('SET', KEYS[2], ARGV[3])
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
for i = 5, #ARGV, 2 do
  local lines = known[i]
  if lines == '' and redis.call('HLEN', KEYS[3]) >= ${MOST_SCOPES} then
    local some = redis.pcall('HRANDFIELD', KEYS[3])
    if type(some) == 'string' then redis.call('HDEL', KEYS[3], some) else redis.call('DEL', KEYS[3]) end
  end
  local stop = 0
  for _ = 2, ${KEPT_A_SCOPE} do stop = string.find(lines, '\\n', stop + 1, true) or #lines end
  local at = (i - 5) / 2 * 3 + 2
  local line = table.concat({ARGV[1], answer[at], answer[at + 1], answer[at + 2], now, ARGV[2]}, ' ')
  redis.call('HSET', KEYS[3], ARGV[i], line .. '\\n' .. string.sub(lines, 1, stop))
end
return answer`

/** The answer of BUMP, scope by scope; null: it is none. */
export function readBumped(reply: unknown): Bumped[] | null {
  if (!Array.isArray(reply) || reply.length % 3 !== 1) return null
  const [done, ...parts] = reply.map(String)
  const bumped: Bumped[] = []
  for (let at = 0; at + 2 < parts.length; at += 3) {
    const [token = '', before = '-', generation] = parts.slice(at, at + 3)
    bumped.push({
      token,
      before: before === '-' ? null : before,
      generation: Number(generation),
      repeated: done === '1',
    })
  }
  return bumped
}

/** Lines `op token before generation since by`, newest first; `-` for none before. What cannot be read is left out. */
export function readRecords(lines: string): GenerationRecord[] {
  return lines.split('\n').flatMap((line) => {
    const [op = '', token = '', before = '', generation, since, by = ''] = line.split(' ')
    const [number, sinceMs] = [Number(generation), Number(since)]
    if (!isToken(token) || !(before === '-' || isToken(before)) || !(number > 0) || !(sinceMs > 0)) return []
    return [{ op, token, before: before === '-' ? null : before, generation: number, sinceMs, by }]
  })
}

/** A name as it can stand in a record: visible ASCII without spaces. */
export function recordName(text: string): string {
  return text.replace(/[^!-~]/g, '_').slice(0, LONGEST_NAME) || '_'
}
