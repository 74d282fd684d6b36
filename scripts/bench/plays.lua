-- The load of `npm run bench` for wrk: plays of 100 assets by 10,000 users. Prints one line of JSON at the end.
function init()
  math.randomseed(os.time())
end

function request()
  return wrk.format("POST", "/play/asset/bench-" .. math.random(0, 99) .. "/user/u" .. math.random(0, 9999))
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
