-- Marks partitions with the present reign, as it was judged what their past is worth.
--
-- KEYS: births and books of each. ARGV: …, schema, secret check; two fields each: the marker that was judged (empty for none), and
-- the barrier to raise to (0 where nothing was lost).
-- Returns the barrier of each, or false where another marker than the judged one was found and nothing changed.

local barriers = {}
for at = 1, #KEYS, 2 do
  local births, books = KEYS[at], KEYS[at + 1]
  local judged, raised = ARGV[at + 4], tonumber(ARGV[at + 5])
  local found = redis.call('ZRANGEBYSCORE', births, 0, '(' .. BIRTHS_FROM, 'WITHSCORES')
  if found[1] == marker then
    barriers[#barriers + 1] = found[2]
  elseif (found[1] or '') ~= judged then
    barriers[#barriers + 1] = false
  else
    local barrier = digits(math.max(tonumber(found[2] or '0'), raised))
    redis.call('ZADD', births, barrier, marker)
    if found[1] then redis.call('ZREM', births, found[1]) end
    redis.call('HSET', books, 'schema', ARGV[3], 'secret', ARGV[4], 'founded', '1')
    barriers[#barriers + 1] = barrier
  end
end
return barriers
