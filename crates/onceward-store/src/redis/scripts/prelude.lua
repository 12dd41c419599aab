-- In front of every script: it runs on the master whose reign the caller read when it connected, or not at all. A reign is the
-- replication id of a master: new at each start of a server and at each promotion, so that it never comes back.
--
-- ARGV: reign, standing, …

local reign, standing = ARGV[1], ARGV[2]
local marker = '=' .. reign .. standing
local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) or not string.find(info, 'master_replid:' .. reign, 1, true) then
  return redis.error_reply('REIGN another one')
end

-- Births are microseconds and lie above this; barriers are milliseconds and lie below.
local BIRTHS_FROM = '100000000000000'

local function micros()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- All digits: Lua's own form of a large number rounds it.
local function digits(number)
  return string.format('%.0f', number)
end

