-- Closes logs up to a horizon, so that no line appears before it any more, and reads what is there.
--
-- KEYS: books and log of each partition. ARGV: …, horizon, lines to find, lines to look at, key tag (empty for any); one field a
-- partition: the first position.
-- Returns for each: its lines, and behind them the position that was reached, or false at the horizon.

local horizon, found_max, seen_max, tag = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local CHUNK = 256

local function read(log, first)
  local found, seen = {}, 0
  while true do
    local chunk = redis.call('ZRANGEBYSCORE', log, first, horizon, 'LIMIT', seen, math.min(CHUNK, found_max))
    for _, line in ipairs(chunk) do
      seen = seen + 1
      if tag == '' or (string.byte(line, 25) == 1 and string.sub(line, 26, 33) == tag) then
        found[#found + 1] = line
      end
      if #found == found_max or seen >= seen_max then
        found[#found + 1] = string.sub(line, 1, 16)
        return found
      end
    end
    if #chunk < math.min(CHUNK, found_max) then
      found[#found + 1] = false
      return found
    end
  end
end

local logs = {}
for at = 1, #KEYS, 2 do
  if tonumber(redis.call('HGET', KEYS[at], 'audit') or '0') < tonumber(horizon) then
    redis.call('HSET', KEYS[at], 'audit', horizon)
  end
  logs[#logs + 1] = read(KEYS[at + 1], ARGV[7 + (at - 1) / 2])
end
return logs
