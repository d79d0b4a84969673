-- SPDX-License-Identifier: Apache-2.0
-- wrk's script: orders with a key of their own each (BENCH_MODE=order), or one address read again
-- and again. BENCH_COUNT ends the run after that many orders were taken, BENCH_KEYS names a file
-- for every key sent, BENCH_RANDOM_KEYS sends UUIDs without a time.
local ffi = require("ffi")
ffi.cdef [[
struct bench_time { long seconds; long nanoseconds; };
int clock_gettime(int clock, struct bench_time *now);
]]

local CLOCK_REALTIME = 0
local MILLION, PRODUCTS = 1000000, 100
local token = os.getenv("BENCH_TOKEN")
local ordering = os.getenv("BENCH_MODE") == "order"
local random_keys = os.getenv("BENCH_RANDOM_KEYS") == "1"
local count = tonumber(os.getenv("BENCH_COUNT") or "0")
local now = ffi.new("struct bench_time")
local keys, head, tails = nil, "", {}
-- wrk asks for one request before the run, to look at it, and sends it to nobody.
local sent, taken = -1, 0
local reading

local function seed()
    local source = io.open("/dev/urandom", "rb")
    local a, b, c = string.byte(source:read(3), 1, 3)
    source:close()
    math.randomseed(a * 65536 + b * 256 + c + os.time())
end

local function body(sku)
    return '{"currency":"BRL","lines":[{"sku":"SKU-' .. sku .. '","quantity":1}],' ..
        '"payment_token":"tok_ok","ship_to":{"name":"Ana Souza","street":"Rua das Laranjeiras 100",' ..
        '"city":"Rio de Janeiro","postal_code":"22240-003","country":"BR"}}'
end

local function uuid()
    local millis
    if random_keys then
        millis = math.random(0, 2 ^ 31) * 2 ^ 16 + math.random(0, 0xffff)
    else
        ffi.C.clock_gettime(CLOCK_REALTIME, now)
        millis = tonumber(now.seconds) * 1000 + math.floor(tonumber(now.nanoseconds) / MILLION)
    end
    return string.format("%08x-%04x-%x%03x-%04x-%06x%06x", math.floor(millis / 65536),
        millis % 65536, random_keys and 4 or 7, math.random(0, 0xfff),
        0x8000 + math.random(0, 0x3fff), math.random(0, 0xffffff), math.random(0, 0xffffff))
end

function init(args)
    seed()
    local authorization = "Authorization: Bearer " .. token .. "\r\nHost: localhost\r\n"
    reading = "GET " .. wrk.path .. " HTTP/1.1\r\n" .. authorization .. "\r\n"
    head = "POST " .. wrk.path .. " HTTP/1.1\r\n" .. authorization ..
        "Content-Type: application/json\r\nIdempotency-Key: "
    for sku = 1, PRODUCTS do
        local text = body(sku)
        tails[sku] = "\r\nContent-Length: " .. #text .. "\r\n\r\n" .. text
    end
    if ordering and os.getenv("BENCH_KEYS") then
        keys = io.open(os.getenv("BENCH_KEYS"), "w")
        keys:setvbuf("full", 1048576)
    end
end

function request()
    -- What goes on beyond the wanted number must not be an order.
    if not ordering or (count > 0 and sent >= count) then
        return reading
    end
    local key = uuid()
    sent = sent + 1
    if keys then
        keys:write(key, "\n")
    end
    return head .. key .. tails[math.random(1, PRODUCTS)]
end

if ordering and count > 0 then
    function response(status)
        if status == 201 then
            taken = taken + 1
            if taken == count then
                wrk.thread:stop()
                -- The rest of wrk sleeps the whole duration out, unless it is interrupted.
                io.open(os.getenv("BENCH_TAKEN"), "w"):close()
            end
        end
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        'BENCH {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d}\n',
        summary.requests, summary.duration / MILLION, latency:percentile(50),
        latency:percentile(99), errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
