-- SPDX-License-Identifier: Apache-2.0
-- wrk's script for the loads of tests/storm/loads.py: STORM_COUNT orders are taken, each with
-- STORM_LINES lines on the first of STORM_PRODUCTS products, STORM_RATE of them a second (0: as fast
-- as it goes). What is refused with 503 is not begun; another order is sent instead.
local ffi = require("ffi")
ffi.cdef [[
struct storm_time { long seconds; long nanoseconds; };
int clock_gettime(int clock, struct storm_time *now);
]]

local CLOCK_REALTIME = 0
local MILLION = 1000000
local token = os.getenv("STORM_TOKEN")
local count = tonumber(os.getenv("STORM_COUNT"))
local lines = tonumber(os.getenv("STORM_LINES"))
local products = tonumber(os.getenv("STORM_PRODUCTS"))
local rate = tonumber(os.getenv("STORM_RATE"))
local connections = tonumber(os.getenv("STORM_CONNECTIONS"))
local now = ffi.new("struct storm_time")
local head, reading = "", ""
local taken, refused = 0, 0

local function time_ms()
    ffi.C.clock_gettime(CLOCK_REALTIME, now)
    return tonumber(now.seconds) * 1000 + math.floor(tonumber(now.nanoseconds) / MILLION)
end

local function body()
    local first, parts = math.random(1, products), {}
    for line = 1, lines do
        local sku = (first + line - 2) % products + 1
        parts[line] = '{"sku":"SKU-' .. sku .. '","quantity":1}'
    end
    return '{"currency":"BRL","lines":[' .. table.concat(parts, ",") ..
        '],"payment_token":"tok_ok","ship_to":{"name":"Ana Souza","street":"Rua das Laranjeiras 100",' ..
        '"city":"Rio de Janeiro","postal_code":"22240-003","country":"BR"}}'
end

local function uuid()
    local millis = time_ms()
    return string.format("%08x-%04x-7%03x-%04x-%06x%06x", math.floor(millis / 65536),
        millis % 65536, math.random(0, 0xfff), 0x8000 + math.random(0, 0x3fff),
        math.random(0, 0xffffff), math.random(0, 0xffffff))
end

function init(args)
    math.randomseed(tonumber(os.getenv("STORM_SEED")))
    local authorization = "Authorization: Bearer " .. token .. "\r\nHost: localhost\r\n"
    reading = "GET " .. wrk.path .. "?limit=1 HTTP/1.1\r\n" .. authorization .. "\r\n"
    head = "POST " .. wrk.path .. " HTTP/1.1\r\n" .. authorization ..
        "Content-Type: application/json\r\nIdempotency-Key: "
end

function delay()
    return rate > 0 and math.floor(connections / rate * 1000) or 0
end

-- wrk asks for one before the run, to look at it, and sends it to nobody.
local sent = -1

function request()
    -- What is on its way must not become an order too many.
    if sent - refused >= count then
        return reading
    end
    sent = sent + 1
    local text = body()
    return head .. uuid() .. "\r\nContent-Length: " .. #text .. "\r\n\r\n" .. text
end

function response(status)
    if status == 201 then
        taken = taken + 1
        if taken >= count then
            wrk.thread:stop()
        end
    elseif status == 503 then
        refused = refused + 1
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format('STORM {"seconds":%.3f,"refused":%d,"broken":%d}\n',
        summary.duration / MILLION, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
