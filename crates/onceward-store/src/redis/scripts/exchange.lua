-- Swaps rows of one or more partitions, each swap by itself.
--
-- KEYS: births and states of each partition; each swap's row; where a swap writes an audit line, books and log of each partition.
-- ARGV: …, partitions, swaps; seven fields a swap: partition, expected mark, barrier (empty for no grant), what to put, row, state,
-- audit line.
-- Returns what became of each swap: 1 done; the row that was found, 0 where none was; {barrier} where a grant was judged by an
-- earlier one, or by -1, where nothing is promised; 2 where the partition is not marked with this reign; 3 where the row is gone although
-- it was never taken out.
--
-- What the server refuses (no memory, too few replicas, a read-only replica) it refuses at the first write, so nothing is half done.

if standing == '+' and not string.find(info, 'connected_slaves:0\r', 1, true) then
  return redis.error_reply('REIGN is not alone')
end
local partitions, swaps = tonumber(ARGV[3]), tonumber(ARGV[4])
local lasts, now = {}, nil

-- The position behind the last one of a partition's births: unique there, and never before one that was given out.
local function next_birth(partition, births)
  now = now or micros()
  local last = lasts[partition] or tonumber(redis.call('ZREVRANGE', births, 0, 0, 'WITHSCORES')[2] or '0')
  lasts[partition] = math.max(last + 1, now)
  return digits(lasts[partition])
end

local function append(partition, line)
  local base = partitions * 2 + swaps + (partition - 1) * 2
  local books, log = KEYS[base + 1], KEYS[base + 2]
  local place = math.max(tonumber(redis.call('HGET', books, 'audit') or '0') + 1, micros())
  local position = string.format('%016.0f', place)
  redis.call('HSET', books, 'audit', position)
  redis.call('ZADD', log, position, position .. line)
end

local function same(row, other)
  return string.sub(row, 1, 16) == string.sub(other, 1, 16)
end

-- Whether a grant was judged by an earlier barrier than the one in force.
local function outdated(judged, barrier)
  return judged ~= '' and tonumber(barrier) > tonumber(judged)
end

-- Makes a row where there is none. The births say whether there is one, so that the usual case is one look and three writes.
local function make(partition, key, judged, row, state)
  local births, states = KEYS[partition * 2 - 1], KEYS[partition * 2]
  local member = string.sub(key, -32) .. string.sub(row, 17, 32)
  local known = redis.call('ZMSCORE', births, marker, member)
  if not known[1] then return 2 end
  if known[2] or outdated(judged, known[1]) then
    local found = redis.call('GET', key)
    if found then return same(found, row) and 1 or found end
    return known[2] and 3 or { known[1] }
  end
  local birth = next_birth(partition, births)
  if not redis.call('SET', key, row, 'NX') then
    local found = redis.call('GET', key)
    return same(found, row) and 1 or found
  end
  redis.call('ZADD', births, birth, member)
  redis.call('ZADD', states, state == '' and birth or state, member)
  return 1
end

-- Replaces, deletes or keeps what is there.
local function change(partition, key, expected, judged, put, row, state)
  local births, states = KEYS[partition * 2 - 1], KEYS[partition * 2]
  local before = redis.call('GETRANGE', key, 0, 31)
  local mark = string.sub(before, 1, 16)
  if mark ~= expected then
    if put == 'row' and same(before, row) then return 1 end
    if mark == '' then return put == 'none' and 1 or 0 end
    return redis.call('GET', key)
  end
  if judged ~= '' then
    local barrier = redis.call('ZSCORE', births, marker)
    if not barrier then return 2 end
    if outdated(judged, barrier) then return { barrier } end
  end
  local member = string.sub(key, -32) .. string.sub(before, 17, 32)
  if put == 'row' then
    local score = state
    if score == '' then score = redis.call('ZSCORE', births, member) or next_birth(partition, births) end
    redis.call('SET', key, row)
    redis.call('ZADD', states, score, member)
  elseif put == 'none' and mark ~= '' then
    redis.call('DEL', key)
    redis.call('ZREM', births, member)
    redis.call('ZREM', states, member)
  end
  return 1
end

local function swap(number)
  local at = 4 + (number - 1) * 7
  local partition, expected, judged, put = tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local row, state, line = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
  local key = KEYS[partitions * 2 + number]
  local became
  if expected == '' and put == 'row' then
    became = make(partition, key, judged, row, state)
  else
    became = change(partition, key, expected, judged, put, row, state)
  end
  if became == 1 and line ~= '' then append(partition, line) end
  return became
end

local became = {}
for number = 1, swaps do became[number] = swap(number) end
return became
