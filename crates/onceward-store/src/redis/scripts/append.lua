-- Appends audit lines. KEYS: books, log. ARGV: …, the lines.

local place = math.max(tonumber(redis.call('HGET', KEYS[1], 'audit') or '0') + 1, micros())
redis.call('HSET', KEYS[1], 'audit', digits(place + #ARGV - 3))
for at = 3, #ARGV do
  local position = string.format('%016.0f', place + at - 3)
  redis.call('ZADD', KEYS[2], position, position .. ARGV[at])
end
return 1
