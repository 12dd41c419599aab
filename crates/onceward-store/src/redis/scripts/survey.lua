-- KEYS: books and states of each partition. ARGV: …, two scores a kind: its first, its last.
-- Writes the beat, the server's clock, into the first partition's books. Returns it, and the members of each kind.

local beat = digits(micros())
redis.call('HSET', KEYS[1], 'beat', beat)
local survey = { beat }
for at = 3, #ARGV, 2 do
  local members = 0
  for states = 2, #KEYS, 2 do
    members = members + redis.call('ZCOUNT', KEYS[states], ARGV[at], ARGV[at + 1])
  end
  survey[#survey + 1] = members
end
return survey
