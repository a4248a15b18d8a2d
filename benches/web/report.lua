-- What wrk found, in one line: requests, microseconds in all, the 99th percentile of the latency in microseconds, bytes,
-- answers that are no success, and what went wrong with sockets.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("figures %d %d %d %d %d %d\n",
    summary.requests, summary.duration, latency:percentile(99.0), summary.bytes, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
