-- KEYS: books. ARGV: …, the correction that was seen, the one that replaces it. Returns whether it did.

if (redis.call('HGET', KEYS[1], 'correction') or '0') ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'correction', ARGV[4])
return 1
