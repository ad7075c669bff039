"""The limiter's Lua scripts. Each runs alone in Redis, so what it decides it decides for every instance.

A window is one string of 976 bytes, whatever its limit: a header (the last slice, the sum of all slices, the
count in the last one) and a ring of the 240 slices before. Within one slice a decision reads and writes the
header alone; the first call of a slice writes the whole string, with its time to live.
The window itself is described in :mod:`castiel.domain.sliding_window`, which this follows number for number.

Time is Redis' own (``TIME``). A clock set back a little is waited for; set back further, everything counted
counts as let through when that was first seen, so a window is never opened by it, nor closed for longer than itself.

A Redis that lost its data says so: each tenant has a key with an id (``castiel:memory:…``), made with the first
window. A client that knows another id is told before anything is let through.
"""

from __future__ import annotations

from castiel.domain.limits import LINE_GRACE_SECONDS, LINE_WAIT_SECONDS, LONGEST_CLOSED_SECONDS
from castiel.domain.sliding_window import BACKWARD_SLICES, SLICE_MS, SLOTS

REDIS_TIME = "(function() local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000) end)()"
"""Milliseconds by the server's clock."""

_TIME = f"""
local SLICE, SLOTS, BACKWARD = {SLICE_MS}, {SLOTS}, {BACKWARD_SLICES}
local GRACE, LONGEST = {int(LINE_GRACE_SECONDS * 1000)}, {int(LINE_WAIT_SECONDS * 1000)}
local KEPT, CLOSED = 3600000, {int(LONGEST_CLOSED_SECONDS * 1000)}
local now = $NOW
"""

_WINDOW = """
local present = math.floor(now / SLICE)
local HEADER, ZERO = '<I8I4I4', '\\0\\0\\0\\0'

local function load(key)
  local header = redis.call('GETRANGE', key, 0, 15)
  local w = {key = key, slice = present, total = 0, current = 0}
  if #header < 16 then
    w.past = string.rep(ZERO, SLOTS)
    return w
  end
  local last, total, current = struct.unpack(HEADER, header)
  w.total, w.current = total, current
  if last >= present and last <= present + BACKWARD then
    w.slice = last
    return w
  end
  local passed = present - last
  if passed < 0 then
    w.current, w.past, w.moved = total, string.rep(ZERO, SLOTS), true
    return w
  end
  w.current = 0
  if passed > SLOTS then
    w.total, w.past = 0, string.rep(ZERO, SLOTS)
    return w
  end
  local past, from = redis.call('GETRANGE', key, 16, -1), last % SLOTS
  for i = from, from + passed - 1 do
    w.total = w.total - struct.unpack('<I4', past, 4 * (i % SLOTS) + 1)
  end
  local fresh = struct.pack('<I4', current) .. string.rep(ZERO, passed - 1)
  local over = 4 * (from + passed - SLOTS)
  if over <= 0 then
    w.past = past:sub(1, 4 * from) .. fresh .. past:sub(4 * (from + passed) + 1)
  else
    w.past = fresh:sub(-over) .. past:sub(over + 1, 4 * from) .. fresh:sub(1, -over - 1)
  end
  return w
end

local function add(w, cost)
  local header = struct.pack(HEADER, w.slice, w.total + cost, w.current + cost)
  if w.past then
    redis.call('SET', w.key, header .. w.past, 'PX', (SLOTS + 2) * SLICE)
  else
    redis.call('SETRANGE', w.key, 0, header)
  end
end

local function until_room(w, excess)
  local past = w.past or redis.call('GETRANGE', w.key, 16, -1)
  for slice = w.slice - SLOTS, w.slice - 1 do
    excess = excess - struct.unpack('<I4', past, 4 * (slice % SLOTS) + 1)
    if excess <= 0 then return (slice + SLOTS + 1) * SLICE - now end
  end
  return (w.slice + SLOTS + 1) * SLICE - now
end
"""

# The last of KEYS is the memory's id; the last two of ARGV are that id as the client knows it ('': it knows none), and
# the id to give it if it has none.
_MEMORY = """
local id = redis.call('GET', KEYS[#KEYS])
if not id then
  id = ARGV[#ARGV]
  redis.call('SET', KEYS[#KEYS], id, 'PX', KEPT)
end
if id ~= ARGV[#ARGV - 1] and ARGV[#ARGV - 1] ~= '' then return 'lost ' .. id end
"""

# KEYS: the windows, the provider's state (if there is one), the line's keys from the most urgent on.
# ARGV: numbers in one text (cost, how many windows, 1 if there is a provider, the milliseconds a probe has, the line's
# capacity, which of its keys is ours or 0 without a line, the limits) and the work that waits ('': none does).
# Answers 'lost' and the id when that is another one than the client knows; nothing is decided then. Else in one text:
# wait, level, reason, remaining, now, used, limit, 1 if it waits in the line or 2 if that is full, 1 if the provider
# failed lately, the memory's id. Texts, because a client takes longer over each argument than Lua does.
_DECIDE = """
local given = {}
for number in ARGV[1]:gmatch('%d+') do given[#given + 1] = tonumber(number) end
local cost, count, probe, capacity, rank = given[1], given[2], given[4], given[5], given[6]
local work = ARGV[2]
local provider = given[3] == 1 and KEYS[count + 1]
local first_line = count + (provider and 2 or 1)
local last_line = #KEYS - 1

local wait, level, reason = 0, 0, '-'
local multiplier, suspect, tripped = 1, 0, false

if provider then
  local s = redis.call('HMGET', provider, 'multiplier', 'multiplier_until', 'closed_until', 'failures', 'open_until', 'probe_until')
  if (tonumber(s[2]) or 0) > now then multiplier = tonumber(s[1]) end
  local closed = (tonumber(s[3]) or 0) - now
  if closed > wait then wait, level, reason = closed, 1, 'closed' end
  if s[4] then suspect = 1 end
  if s[5] then
    tripped = true
    local open = math.max(tonumber(s[5]), tonumber(s[6]) or 0) - now
    if open > wait then wait, level, reason = open, 1, 'circuit' end
  end
end

local urgent, anybody_waits = 0, rank > 0 and redis.call('EXISTS', unpack(KEYS, first_line, last_line)) > 0
for i = 1, anybody_waits and rank - 1 or 0 do
  urgent = urgent + redis.call('ZCOUNT', KEYS[first_line + i - 1], now, now + GRACE)
end

local windows, limits = {}, {}
local fullest, remaining = 1, nil
for i = 1, count do
  local w, limit = load(KEYS[i]), given[6 + i]
  if i == 1 then limit = math.max(1, math.floor(limit * multiplier)) end
  windows[i], limits[i] = w, limit
  local used = w.total + cost
  local excess, for_turn = used - limit, false
  if i == 1 and excess <= 0 and urgent > 0 then
    excess, for_turn = used + urgent - limit, true
  end
  if excess > 0 then
    local room = until_room(w, excess)
    if for_turn then room = math.min(room, GRACE) end
    if room > wait then wait, level, reason = room, i, for_turn and 'turn' or 'limit' end
  end
  if used * limits[fullest] > (windows[fullest].total + cost) * limit then fullest = i end
  if remaining == nil or limit - used < remaining then remaining = limit - used end
end

local line = 0
if wait <= 0 then
  -- Once in a slice is often enough to keep the id for longer than the windows.
  if windows[1].past then redis.call('PEXPIRE', KEYS[#KEYS], KEPT) end
  for i = 1, count do add(windows[i], cost) end
  if tripped then redis.call('HSET', provider, 'probe_until', now + probe) end
  if anybody_waits and work ~= '' then redis.call('ZREM', KEYS[first_line + rank - 1], work) end
  local w = windows[fullest]
  return table.concat({0, fullest, '-', remaining, now, w.total + cost, limits[fullest], 0, suspect, id}, ' ')
end

for i = 1, count do
  if windows[i].moved then add(windows[i], 0) end
end

if rank > 0 and work ~= '' and reason ~= 'circuit' then
  local ahead, total, place = 0, 0, false
  for i = first_line, last_line do
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', '(' .. now)
    local length = redis.call('ZCARD', KEYS[i])
    total = total + length
    if i < first_line + rank - 1 then ahead = ahead + length end
    if i == first_line + rank - 1 then
      place = redis.call('ZRANK', KEYS[i], work)
      ahead = ahead + (place or length)
    end
  end
  if not place and total >= capacity then
    line = 2
  else
    line = 1
    wait = math.min(math.floor(wait + ahead * 60000 / limits[1]), math.max(wait, LONGEST))
    redis.call('ZADD', KEYS[first_line + rank - 1], now + wait + GRACE, work)
    local life = redis.call('PTTL', KEYS[first_line + rank - 1])
    if life < wait + GRACE then redis.call('PEXPIRE', KEYS[first_line + rank - 1], wait + GRACE) end
  end
end
return table.concat({wait, level, reason, 0, now, windows[level].total, limits[level], line, suspect, id}, ' ')
"""

# KEYS: windows. ARGV: what each is to count on top, whatever its limit. Answers 'lost' and the id, or 'kept' and the id.
_CHARGE = """
for i = 1, #KEYS - 1 do add(load(KEYS[i]), tonumber(ARGV[i])) end
return 'kept ' .. id
"""

# KEYS: windows. Answers: now, then what each counts.
_COUNT = """
local counts = {now}
for i = 1, #KEYS do counts[i + 1] = load(KEYS[i]).total end
return counts
"""

_KEEP = """
local function keep(key, milliseconds)
  if redis.call('PTTL', key) < milliseconds then redis.call('PEXPIRE', key, math.ceil(milliseconds)) end
end
"""

# KEYS: the provider's state. ARGV: the multiplier ('': unknown), how many ms it holds, until when (ms since 1970,
# 0: unknown), for how many ms it is closed, until when it is closed. Answers for how many ms it is closed now.
_OBSERVE = """
local key = KEYS[1]
if ARGV[1] ~= '' then
  local till = now + tonumber(ARGV[2])
  local reset = tonumber(ARGV[3])
  if reset > now then till = math.min(reset, now + KEPT) end
  redis.call('HSET', key, 'multiplier', ARGV[1], 'multiplier_until', string.format('%.0f', till))
  keep(key, till - now)
end
local asked = math.min(math.max(now + tonumber(ARGV[4]), tonumber(ARGV[5])), now + CLOSED)
local closed = math.max(asked, tonumber(redis.call('HGET', key, 'closed_until')) or 0)
if closed > now then
  redis.call('HSET', key, 'closed_until', string.format('%.0f', closed))
  keep(key, closed - now)
end
return math.max(0, closed - now)
"""

# KEYS: the provider's state. ARGV: failures that open the breaker, the ms it opens for (at 0, 1, … openings before).
# Answers for how many ms it is open, and 1 if this failure opened it.
_FAILED = """
local key = KEYS[1]
local failures = redis.call('HINCRBY', key, 'failures', 1)
keep(key, KEPT)
local s = redis.call('HMGET', key, 'open_until', 'opened')
local open = (tonumber(s[1]) or 0) - now
if open > 0 then return {open, 0} end
local opened = tonumber(s[2]) or 0
if opened == 0 and failures < tonumber(ARGV[1]) then return {0, 0} end
open = tonumber(ARGV[math.min(2 + opened, #ARGV)])
redis.call('HSET', key, 'open_until', string.format('%.0f', now + open), 'opened', opened + 1)
redis.call('HDEL', key, 'probe_until')
return {open, 1}
"""

# KEYS: the provider's state.
_SUCCEEDED = """
return redis.call('HDEL', KEYS[1], 'failures', 'open_until', 'opened', 'probe_until')
"""


def _script(*parts: str, clock: str) -> str:
    return "".join(parts).replace("$NOW", clock)


def decide(clock: str = REDIS_TIME) -> str:
    """Check all levels and consume at all, or none. ``clock``: a Lua expression; only a test gives another."""
    return _script(_TIME, _WINDOW, _MEMORY, _DECIDE, clock=clock)


def charge(clock: str = REDIS_TIME) -> str:
    """Count what was let through elsewhere."""
    return _script(_TIME, _WINDOW, _MEMORY, _CHARGE, clock=clock)


def count(clock: str = REDIS_TIME) -> str:
    """How much windows count."""
    return _script(_TIME, _WINDOW, _COUNT, clock=clock)


def observe(clock: str = REDIS_TIME) -> str:
    """Adapt to what a provider said."""
    return _script(_TIME, _KEEP, _OBSERVE, clock=clock)


def failed(clock: str = REDIS_TIME) -> str:
    """Count a failure in a row."""
    return _script(_TIME, _KEEP, _FAILED, clock=clock)


def succeeded() -> str:
    """Close the breaker."""
    return _SUCCEEDED
