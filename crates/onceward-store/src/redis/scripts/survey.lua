-- KEYS: books and states of each partition. ARGV: …, two scores a kind: its first, its last.
-- Writes the beat, the server's clock, into each partition's books. Returns it, and the members of each kind.

local beat = digits(micros())
for books = 1, #KEYS, 2 do redis.call('HSET', KEYS[books], 'beat', beat) end
local survey = { beat }
for at = 3, #ARGV, 2 do
  local members = 0
  for states = 2, #KEYS, 2 do
    members = members + redis.call('ZCOUNT', KEYS[states], ARGV[at], ARGV[at + 1])
  end
  survey[#survey + 1] = members
end
return survey
