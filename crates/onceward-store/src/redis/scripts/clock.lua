-- KEYS: books. Returns the server's clock in milliseconds, and the correction.

return { digits(math.floor(micros() / 1000)), redis.call('HGET', KEYS[1], 'correction') or '0' }
