-- wrk's figures as one line of JSON: exact, where its own text is rounded for reading.
done = function(summary, latency, requests)
   io.write(string.format(
      '\n{"answers": %d, "bytes": %d, "microseconds": %d, "refused": %d, "broken": %d,'
         .. ' "median": %d, "p99": %d, "longest": %d}\n',
      summary.requests, summary.bytes, summary.duration, summary.errors.status,
      summary.errors.connect + summary.errors.read + summary.errors.timeout,
      latency:percentile(50), latency:percentile(99), latency.max
   ))
end
