-- KEYS: rows. ARGV: …, 1 where whole rows are wanted, 0 where their outcomes are left out. Returns each row, or false.

local rows = {}
for number, key in ipairs(KEYS) do
  if ARGV[3] == '1' then
    rows[number] = redis.call('GET', key)
  else
    local fixed = redis.call('GETRANGE', key, 0, 36)
    if fixed == '' then
      rows[number] = false
    elseif #fixed < 37 then
      rows[number] = fixed
    else
      rows[number] = redis.call('GETRANGE', key, 0, 36 + struct.unpack('>I4', fixed, 34))
    end
  end
end
return rows
