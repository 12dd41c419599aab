-- KEYS: books. Returns the last position of any of them, or the server's clock where that is later.

local last = micros()
for _, books in ipairs(KEYS) do
  last = math.max(last, tonumber(redis.call('HGET', books, 'audit') or '0'))
end
return digits(last)
