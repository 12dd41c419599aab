-- Raises the barriers of partitions that are marked with the present reign.
--
-- KEYS: births of each. ARGV: …, the barrier to raise to. Returns the barrier of each, or false where another marker was found and nothing
-- changed: the partition's past has to be judged first.

local barriers = {}
for at = 1, #KEYS do
  local known = redis.call('ZSCORE', KEYS[at], marker)
  if known then
    local barrier = digits(math.max(tonumber(known), tonumber(ARGV[3])))
    redis.call('ZADD', KEYS[at], barrier, marker)
    barriers[at] = barrier
  else
    barriers[at] = false
  end
end
return barriers
