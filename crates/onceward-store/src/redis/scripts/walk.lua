-- Walks sorted sets between scores.
--
-- KEYS: a set each. ARGV: …, direction (up, down), members to find, members to look at, key tag, actor tag (empty for any); three
-- fields a range: its set, first score, last score.
-- Returns for each range: members and scores in turn, and behind them the score that was reached, or false at the end of the range.

local command = ARGV[3] == 'up' and 'ZRANGEBYSCORE' or 'ZREVRANGEBYSCORE'
local found_max, seen_max, tag, actor = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], ARGV[7]
local CHUNK = 256

local function admits(member)
  return (tag == '' or string.sub(member, 33, 40) == tag) and (actor == '' or string.sub(member, 41, 48) == actor)
end

local function walk(set, first, last)
  local found, seen = {}, 0
  while true do
    local chunk = redis.call(command, set, first, last, 'WITHSCORES', 'LIMIT', seen, math.min(CHUNK, found_max))
    for at = 1, #chunk, 2 do
      seen = seen + 1
      if admits(chunk[at]) then
        found[#found + 1] = chunk[at]
        found[#found + 1] = chunk[at + 1]
      end
      if #found == found_max * 2 or seen >= seen_max then
        found[#found + 1] = chunk[at + 1]
        return found
      end
    end
    if #chunk < math.min(CHUNK, found_max) * 2 then
      found[#found + 1] = false
      return found
    end
  end
end

local ranges = {}
for at = 8, #ARGV, 3 do
  ranges[#ranges + 1] = walk(KEYS[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 2])
end
return ranges
