-- What wrk sends, and the line of JSON that it ends with. Behind `--`:
--   plain           the same GET, over and over
--   unique PREFIX   a POST with a key of its own each
--   cycle PREFIX N  a POST with one of N keys, in turn

-- 200 bytes, with what an order has: names, numbers, nesting.
local body = '{"order":{"cart":"8f14e45f-ceea-467f-a0e6-5c1d2b7e9a30","items":[{"sku":"LP-1138","count":2,'
  .. '"price":"24.90"},{"sku":"CD-2187","count":1,"price":"9.90"}],"total":"59.70"},"ship_to":"Elm Street 1138 E"}'
assert(#body == 200)

local function post(prefix, numbers)
  local before = 'POST /orders HTTP/1.1\r\nHost: ' .. wrk.host .. ':' .. wrk.port
    .. '\r\nAuthorization: Bearer 3e23e8160039594a33894f6564e1b134\r\nContent-Type: application/json'
    .. '\r\nContent-Length: 200\r\nIdempotency-Key: ' .. prefix .. '-'
  local after = '\r\n\r\n' .. body
  local number = -1
  return function()
    number = (number + 1) % numbers
    return before .. number .. after
  end
end

function init(args)
  -- wrk leaves `request` alone where it is not defined, and sends the same bytes each time.
  if args[1] == 'unique' then
    request = post(args[2], 2 ^ 52)
  elseif args[1] == 'cycle' then
    request = post(args[2], tonumber(args[3]))
  end
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"bytes":%d,"us":%d,"p50_us":%d,"p99_us":%d,'
      .. '"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
