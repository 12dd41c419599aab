-- Puts a row where no sweep finds it, if it is still the one with this mark. KEYS: row, states. ARGV: …, mark, the span of a kind's
-- scores.

local before = redis.call('GETRANGE', KEYS[1], 0, 31)
if string.sub(before, 1, 16) == ARGV[3] then
  local member = string.sub(KEYS[1], -32) .. string.sub(before, 17, 32)
  local score = redis.call('ZSCORE', KEYS[2], member)
  if score and tonumber(score) < tonumber(BIRTHS_FROM) then
    local span = tonumber(ARGV[4])
    redis.call('ZADD', KEYS[2], digits(math.floor(tonumber(score) / span) * span + span - 1), member)
  end
end
return 1
