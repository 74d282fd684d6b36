-- The wrk script for `npm run bench`: plays of 100 assets by 10,000 users. Prints one line of JSON at the end.
--   TOKENS    a file with other users to play as, one `user token` per line
--   DELAY_MS  a connection's average wait before its next play. The waits are exponentially distributed, so that
--             many connections together form an open loop of independent users
local users = {}

function init()
  math.randomseed(os.time())
  for line in io.lines(os.getenv("TOKENS") or "/dev/null") do
    local user, token = line:match("(%S+) (%S+)")
    users[#users + 1] = { user = user, headers = { authorization = "Bearer " .. token } }
  end
end

function request()
  local player = users[1] and users[math.random(#users)] or { user = "u" .. math.random(0, 9999) }
  return wrk.format("POST", "/play/asset/bench-" .. math.random(0, 99) .. "/user/" .. player.user, player.headers)
end

local meanMs = tonumber(os.getenv("DELAY_MS"))
if meanMs then
  function delay()
    return math.floor(-math.log(1 - math.random()) * meanMs + 0.5)
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"perSecond":%.1f,"p50":%.3f,"p99":%.3f,"failed":%d}\n',
    summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout
  ))
end
