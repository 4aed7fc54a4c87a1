-- SPDX-License-Identifier: BSD-2-Clause
-- Asks for objects at random, each as likely as any other, and says at the end what arrived, as one
-- line of JSON. Arguments: the number of objects, how many of them lie in one directory (0: all lie
-- in the root), and a seed.

local count, per_dir

function init(args)
    count = tonumber(args[1])
    per_dir = tonumber(args[2])
    math.randomseed(tonumber(args[3]))
end

function request()
    local n = math.random(0, count - 1)
    if per_dir > 0 then
        return wrk.format("GET", string.format("/%d/%d.bin", math.floor(n / per_dir), n % per_dir))
    end
    return wrk.format("GET", string.format("/%d.bin", n))
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '\nresult {"bytes": %d, "requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, ' ..
        '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
        summary.bytes, summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        e.connect, e.read, e.write, e.status, e.timeout))
end
