-- Takes out of the sets what is in them without its row: it was evicted or deleted by somebody else, and others may be, too. Raises
-- the barrier.
--
-- KEYS: births, states, row. ARGV: …, the row's tags, the barrier to raise to. Returns the barrier, or false where that is not so.

local member = string.sub(KEYS[3], -32) .. ARGV[3]
local known = redis.call('ZMSCORE', KEYS[1], marker, member)
if not known[1] or not known[2] or redis.call('EXISTS', KEYS[3]) == 1 then return false end
local barrier = digits(math.max(tonumber(known[1]), tonumber(ARGV[4])))
redis.call('ZADD', KEYS[1], barrier, marker)
redis.call('ZREM', KEYS[1], member)
redis.call('ZREM', KEYS[2], member)
return barrier
