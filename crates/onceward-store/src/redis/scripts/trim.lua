-- Deletes the first lines that are old enough. KEYS: log. ARGV: …, milliseconds, lines to delete at the most. Returns how many went.

local before, gone = tonumber(ARGV[3]), 0
for _, line in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[4]) - 1)) do
  if struct.unpack('>I8', line, 17) >= before then break end
  gone = gone + 1
end
if gone > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, gone - 1) end
return gone
