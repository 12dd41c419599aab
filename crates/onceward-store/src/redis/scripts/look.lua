-- KEYS: births and books of each partition.
-- Returns for each: its marker, or false; its barrier; and of its books: schema, secret check, whether it is founded, beat.

local looks = {}
for at = 1, #KEYS, 2 do
  local found = redis.call('ZRANGEBYSCORE', KEYS[at], 0, '(' .. BIRTHS_FROM, 'WITHSCORES')
  local books = redis.call('HMGET', KEYS[at + 1], 'schema', 'secret', 'founded', 'beat')
  looks[#looks + 1] = { found[1] or false, found[2] or '0', books[1], books[2], books[3], books[4] }
end
return looks
