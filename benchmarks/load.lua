-- Sends the prepared requests of workload.py in turn and reports as one line of JSON.
-- wrk reads nothing but the file, so that making requests costs the load's core next to nothing.
local requests, count, next_one = {}, 0, 0

function init(args)
  local size = tonumber(args[2])
  local all = assert(io.open(args[1], "rb")):read("*a")
  for at = 1, #all, size do
    count = count + 1
    requests[count] = all:sub(at, at + size - 1)
  end
end

function request()
  next_one = next_one % count + 1
  return requests[next_one]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'JSON {"requests":%d,"bytes":%d,"duration_us":%d,"connect":%d,"read":%d,"write":%d,' ..
    '"status":%d,"timeout":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d}\n',
    summary.requests, summary.bytes, summary.duration, e.connect, e.read, e.write, e.status,
    e.timeout, latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
