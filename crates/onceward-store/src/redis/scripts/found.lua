-- Begins books where nothing is. KEYS: births and books of each partition. ARGV: …, schema, secret check, barrier.

for at = 1, #KEYS, 2 do
  if redis.call('EXISTS', KEYS[at], KEYS[at + 1]) == 0 then
    redis.call('HSET', KEYS[at + 1], 'schema', ARGV[3], 'secret', ARGV[4], 'founded', '0')
    redis.call('ZADD', KEYS[at], ARGV[5], marker)
  end
end
return 1
