"""The locks on slots as Redis keeps them, and the only ways to change them: one atomic script each.

Invariants:
- `held` has a lock exactly as long as `due`, its slots and its counts have it: every script ends a lock by `finish`,
  which takes it out of all of them and tells, so that one lock's end is told once, whichever process sees it first.
- What a lock is found by is its token's hash; a late release names a token that nothing has, and frees nothing.
- A stream of locks is changed in the script that changes the locks: its rows are always what is held.
- Time is Redis's own, so that all processes agree on when a lock ends; a test may give its own.

All keys have one hash tag, and so lie on one node of a Redis Cluster.
"""

HELD = "cb:{locks}:held"
"""Each lock by its token's hash."""
DUE = "cb:{locks}:due"
"""When each lock ends: by its time, or a grace time after its page has gone."""
KEYS = (HELD, DUE)
BY = "cb:{locks}:by:"
"""Before the name of whoever holds locks: a person, a device, an address."""

COMMON = """
local held, due = KEYS[1], KEYS[2]
local tag = 'cb:{locks}:'
local now = tonumber(ARGV[1])
if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local function iso(ms)
    -- The civil date of a count of days, by H. Hinnant's algorithm: scripts have no os.date.
    local days, rest = math.floor(ms / 86400000) + 719468, ms % 86400000
    local era = math.floor(days / 146097)
    local doe = days - era * 146097
    local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
    local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
    local month = math.floor((5 * doy + 2) / 153)
    local day = doy - math.floor((153 * month + 2) / 5) + 1
    month = month + (month < 10 and 3 or -9)
    local year = yoe + era * 400 + (month <= 2 and 1 or 0)
    return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day, math.floor(rest / 3600000),
        math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60, rest % 1000)
end

local function tell(doctor, type, facts, slots)
    local stream = tag .. doctor
    local epoch = redis.call('HGET', stream .. ':meta', 'epoch')
    if not epoch then
        epoch = ARGV[2]
        redis.call('HSET', stream .. ':meta', 'epoch', epoch)
    end
    local put, drop = {}, {}
    for _, slot in ipairs(slots) do
        local ends = redis.call('ZRANGE', tag .. 'slot:' .. slot, 0, -1, 'WITHSCORES')
        local key, untils = 's:' .. slot, {}
        for i = 2, #ends, 2 do untils[i / 2] = '"' .. iso(tonumber(ends[i])) .. '"' end
        if #untils > 0 then
            local row = '{"slot":' .. slot .. ',"until":[' .. table.concat(untils, ',') .. ']}'
            redis.call('HSET', stream .. ':view', key, row)
            put[#put + 1] = '"' .. key .. '":' .. row
        else
            redis.call('HDEL', stream .. ':view', key)
            drop[#drop + 1] = '"' .. key .. '"'
        end
    end
    local data = '{"slots":[' .. table.concat(slots, ',') .. '],' .. facts
    if #put > 0 then data = data .. ',"put":{' .. table.concat(put, ',') .. '}' end
    if #drop > 0 then data = data .. ',"drop":[' .. table.concat(drop, ',') .. ']' end
    local version = redis.call('HINCRBY', stream .. ':meta', 'version', 1)
    local envelope = '{"type":"' .. type .. '","stream":"locks:' .. doctor .. '","epoch":"' .. epoch ..
        '","version":' .. version .. ',"at":"' .. iso(now) .. '","data":' .. data .. '}}'
    redis.call('XADD', stream .. ':log', 'MAXLEN', '~', 512, version .. '-0', 't', type, 'e', envelope)
    redis.call('PUBLISH', 'cb:{locks:' .. doctor .. '}:live', version .. ' ' .. type .. ' ' .. epoch .. ' ' .. envelope)
end

local function find(hash)
    local packed = redis.call('HGET', held, hash)
    return packed and cmsgpack.unpack(packed)
end

local function finish(hash, lock, expired)
    redis.call('HDEL', held, hash)
    redis.call('ZREM', due, hash)
    for _, slot in ipairs(lock.slots) do
        redis.call('ZREM', tag .. 'slot:' .. slot, hash)
        for _, by in ipairs(lock.counts) do redis.call('ZREM', by, hash .. ':' .. slot) end
    end
    tell(lock.doctor, 'slot-unlocked', '"expired":' .. tostring(expired), lock.slots)
end

local function keep(hash, lock, ends)
    redis.call('HSET', held, hash, cmsgpack.pack(lock))
    redis.call('ZADD', due, ends, hash)
end

local function hold(hash, lock)
    for _, slot in ipairs(lock.slots) do
        redis.call('ZADD', tag .. 'slot:' .. slot, lock.ends, hash)
        for _, by in ipairs(lock.counts) do redis.call('ZADD', by, lock.ends, hash .. ':' .. slot) end
    end
    keep(hash, lock, lock.ends)
    tell(lock.doctor, 'slot-locked', '"until":"' .. iso(lock.ends) .. '"', lock.slots)
end

local function sweep(most)
    local ended = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)
    for _, hash in ipairs(ended) do finish(hash, find(hash), true) end
    return #ended
end
"""
"""What every script begins with: ARGV[1] is the time in milliseconds, or empty for Redis's own; ARGV[2] is an epoch for
a stream that has none."""

LOCK = """
sweep(100)
local hash, doctor, length, person, page, alone = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8] == '1'
local slots, left, counts, i = {}, {}, {}, 10
for n = 1, tonumber(ARGV[9]) do
    slots[n], left[n], i = ARGV[i], tonumber(ARGV[i + 1]), i + 2
end
local former, given_up, mine = {}, {}, {}
if alone then
    given_up = redis.call('ZRANGE', person, 0, -1)
    for _, member in ipairs(given_up) do
        local other, slot = string.match(member, '^(.-):(.+)$')
        former[other], mine[slot] = true, (mine[slot] or 0) + 1
    end
end
local until_ = 0
for n, slot in ipairs(slots) do
    local key = tag .. 'slot:' .. slot
    if redis.call('ZCARD', key) - (mine[slot] or 0) >= left[n] then
        local soonest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
        until_ = math.max(until_, tonumber(soonest[2] or now))
    end
end
if until_ > 0 then return {'locked', until_} end
while i < #ARGV do
    local by, most = ARGV[i], tonumber(ARGV[i + 1])
    local many = redis.call('ZCARD', by) + #slots
    for _, member in ipairs(given_up) do
        if redis.call('ZSCORE', by, member) then many = many - 1 end
    end
    if many > most then
        local soonest = redis.call('ZRANGE', by, 0, 0, 'WITHSCORES')
        return {'many', tonumber(soonest[2] or now)}
    end
    counts[#counts + 1], i = by, i + 2
end
for other in pairs(former) do finish(other, find(other), false) end
local lock = {doctor = doctor, slots = slots, ends = now + length, length = length, extended = false,
    person = person, page = page, counts = counts}
hold(hash, lock)
for n, slot in ipairs(slots) do
    if redis.call('EXISTS', tag .. 'booked:' .. slot) == 1 then return {'look again', lock.ends} end
end
return {'ok', lock.ends}
"""
"""Locks slots for a token: prunes what has ended, counts each slot's locks against the seats that are left of it and
the holder's against each bound, gives up the holder's former lock where one is all they may have, and tells.

ARGV: the token's hash, doctor, milliseconds, person, page, `1` if it is to be the person's only one, how many slots;
then each slot with the seats that are left; then each bound's key with the most slots under it.
"""

EXTEND = """
local hash = ARGV[3]
sweep(100)
local lock = find(hash)
if not lock or lock.person ~= ARGV[4] then return {'gone'} end
if ARGV[5] ~= '' and not string.find(',' .. table.concat(lock.slots, ',') .. ',', ',' .. ARGV[5] .. ',', 1, true) then
    return {'gone'}
end
if lock.extended then return {'extended', lock.ends} end
lock.ends, lock.extended = lock.ends + lock.length, true
hold(hash, lock)
return {'ok', lock.ends, lock.doctor, lock.slots}
"""
"""Gives a lock its time once more. ARGV: the token's hash, person, one of its slots."""

END = """
local ended = 0
for i = 6, #ARGV do
    local lock = find(ARGV[i])
    local slots = lock and ',' .. table.concat(lock.slots, ',') .. ','
    if lock and (ARGV[3] == '' or lock.person == ARGV[3])
        and (ARGV[4] == '' or string.find(slots, ',' .. ARGV[4] .. ',', 1, true)) then
        if ARGV[5] == '1' then
            for _, slot in ipairs(lock.slots) do redis.call('SET', tag .. 'booked:' .. slot, '1', 'PX', 10000) end
        end
        finish(ARGV[i], lock, false)
        ended = ended + 1
    end
end
return ended
"""
"""Ends locks before their time. ARGV: person or empty, one of its slots or empty, `1` if booked; the tokens' hashes.

A booking's release leaves a mark for a moment: whoever counted the seats that were left before that booking, and locks
the slot after its release, is told to look again.
"""

LEAVE = """
local away = now + tonumber(ARGV[3])
for i = 5, #ARGV do
    local lock = find(ARGV[i])
    if lock and lock.page == ARGV[4] then keep(ARGV[i], lock, math.min(lock.ends, away)) end
end
"""
"""Gives the locks of a page that has gone a grace time. ARGV: milliseconds, the page, the tokens' hashes.

A page that has come back to another process has taken its locks over, and they are that page's no more.
"""

CLAIM = """
sweep(100)
local lock = find(ARGV[3])
if not lock or lock.person ~= ARGV[4] then return {'gone'} end
lock.page = ARGV[5]
keep(ARGV[3], lock, lock.ends)
return {'ok', lock.ends, lock.doctor, lock.slots, lock.extended and 1 or 0}
"""
"""Makes a lock this page's, for its whole time. ARGV: the token's hash, person, page."""

LOOK = """
local ends = redis.call('ZSCORE', due, ARGV[3])
if not ends or tonumber(ends) <= now then return {} end
return find(ARGV[3]).slots
"""
"""The slots on which a lock is in force. ARGV: the token's hash."""

SWEEP = """
local ended = sweep(100)
local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
return {ended, first[2] and math.max(0, math.ceil(first[2] - now)) or -1}
"""
"""Ends what is due; answers how many, and in how many milliseconds the next one is (-1: there is none)."""

SHOW = """
local answer = {}
for i = 3, #ARGV do
    local meta = tag .. ARGV[i] .. ':meta'
    redis.call('HSETNX', meta, 'epoch', ARGV[2])
    redis.call('HSETNX', meta, 'version', 0)
    local position = redis.call('HMGET', meta, 'epoch', 'version')
    answer[#answer + 1] = {position[1], tonumber(position[2]), redis.call('HVALS', tag .. ARGV[i] .. ':view')}
end
return answer
"""
"""Where the streams of these doctors stand, and their rows at that very position. ARGV: doctors."""

BEGIN = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
local cursor, gone = '0', 0
repeat
    local found = redis.call('SCAN', cursor, 'MATCH', 'cb:{locks}:*', 'COUNT', 1000)
    cursor = found[1]
    for _, key in ipairs(found[2]) do gone = gone + redis.call('DEL', key) end
until cursor == '0'
redis.call('SET', KEYS[1], ARGV[1])
return gone
"""
"""Forgets all locks unless they are of this very run of Redis (ARGV[1]), and with them their streams' epochs.

A restarted Redis may come back with what it had a while ago: locks that have ended since, and versions that were told
with other events. Only a Redis that has not restarted still has the other scripts, so this one goes before them.
"""
RUN = "cb:{locks}:run"

ALL = {
    "lock": COMMON + LOCK,
    "extend": COMMON + EXTEND,
    "end": COMMON + END,
    "leave": COMMON + LEAVE,
    "claim": COMMON + CLAIM,
    "look": COMMON + LOOK,
    "sweep": COMMON + SWEEP,
    "show": COMMON + SHOW,
}
