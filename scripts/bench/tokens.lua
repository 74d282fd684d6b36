-- The load of identity.ts for wrk: plays by the users in the file TOKENS, one `user token` per line. With WITHOUT=1, the
-- requests have no token. Prints the responses per second, and how many are not 200.
local users = {}

function init()
  math.randomseed(os.time())
  for line in io.lines(os.getenv("TOKENS")) do
    local user, token = line:match("(%S+) (%S+)")
    users[#users + 1] = { user = user, headers = os.getenv("WITHOUT") and {} or { authorization = "Bearer " .. token } }
  end
end

function request()
  local one = users[math.random(#users)]
  return wrk.format("POST", "/play/asset/bench-" .. math.random(0, 99) .. "/user/" .. one.user, one.headers)
end

function done(summary)
  local errors = summary.errors
  io.write(string.format(
    '{"perSecond":%.1f,"failed":%d}\n',
    summary.requests / summary.duration * 1e6,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout
  ))
end
