-- Tries the right to every command that a script uses, and changes nothing. KEYS: one that is never there. ARGV: ….
-- Returns the names of those that the user may not run, or not on such a key.
--
-- A right is looked at before anything else of a command, so whatever else it is refused for does not matter here.

local key = KEYS[1]
local commands = {
  { 'DEL', key },
  { 'EXISTS', key },
  { 'GET', key },
  { 'GETRANGE', key, 0, 0 },
  { 'HGET', key, '' },
  { 'HMGET', key, '' },
  -- A field without a value: refused.
  { 'HSET', key, '', '', '' },
  { 'SET', key, '', 'XX' },
  { 'TIME' },
  { 'ZADD', key, 'XX', 0, '' },
  { 'ZCOUNT', key, 0, 0 },
  { 'ZMSCORE', key, '' },
  { 'ZRANGE', key, 0, 0 },
  { 'ZRANGEBYSCORE', key, 0, 0 },
  { 'ZREM', key, '' },
  { 'ZREMRANGEBYRANK', key, 0, 0 },
  { 'ZREVRANGE', key, 0, 0 },
  { 'ZREVRANGEBYSCORE', key, 0, 0 },
  { 'ZSCORE', key, '' },
}

local forbidden = {}
for _, command in ipairs(commands) do
  local answer = redis.pcall(unpack(command))
  local refusal = type(answer) == 'table' and answer.err or ''
  -- The second is how 6.2 says it.
  if string.find(refusal, 'NOPERM', 1, true) or string.find(refusal, 'user executing the script', 1, true) then
    forbidden[#forbidden + 1] = command[1]
  end
end
return forbidden
