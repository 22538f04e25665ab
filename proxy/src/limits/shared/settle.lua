-- Puts what became of exchanges into the counters. KEYS: P. ARGV: now or '', replica, store, number of this call,
-- number of items, items:
-- 'x', hold, tokens (-1: as estimated), cancel (0, 1): gives a hold up.
-- 'p', counter, afresh (0, 1), window, thresholds (number; percent, amount, and whether it is known to be told (0, 1), of each), parts
--      (number; slot and amount of each): what this store was charged. Afresh: in the place of all it had said. Answers settled, held,
--      and the thresholds reached.
-- 'g', hold, counter, limit, more, less, window: holds more, or at least less. Answers what it holds more; -1: there is no
--      room; -2: there is no such hold, or no such window.
-- 'h', hold, what: holds again what was lost; nothing if it is there.
-- 'l', counter, limit, least, wanted, window: what is leased of a budget from now on. Answers that.
-- 'u', counter, afresh, length of a step, parts of requests, parts of tokens: what this store let in under leases.
-- 'm', counter, length of a step, most requests, tokens, exchanges (-1: not limited), least of each, wanted of each. Answers what is
--      leased of each, and what is used or leased by anybody.
-- 's', counter, window: how a budget stands. 'q', counter, length of a step: how a rate limit stands.
-- Answers: the number of the last call of this replica that is known (-1: none), now, then the figures of each item that has some.

local replica, store = arg(), arg()
local last = note(replica, arg())
local holds = P .. ':h:' .. replica
local answer = { last, text(now) }
local function say(number) answer[#answer + 1] = text(number) end

-- Sets what this store has in some slots of a counter, as a difference to what it had.
local function parts(key, own, win, prefix, newest)
  for _ = 1, int() do
    local slot, amount = int(), int()
    local field = prefix .. text(slot)
    local before = redis.call('HGET', own, field)
    if not win.step and not before then redis.call('DEL', own) end
    redis.call('HSET', own, field, text(amount))
    put(key, win, prefix, newest, slot, amount - tonumber(before or '0'))
  end
end

-- Forgets what this store had.
local function anew(key, own, win, newest)
  local had = redis.call('HGETALL', own)
  for i = 1, #had, 2 do
    put(key, win, string.sub(had[i], 1, 1), newest, tonumber(string.sub(had[i], 2)), -tonumber(had[i + 1]))
  end
  redis.call('DEL', own)
end

-- Slots that nobody counts any more.
local function tidy(own, newest)
  if redis.call('HLEN', own) <= 4 * SLOTS then return end
  for _, field in ipairs(redis.call('HKEYS', own)) do
    if tonumber(string.sub(field, 2)) <= newest - SLOTS then redis.call('HDEL', own, field) end
  end
end

local function push()
  local id, afresh, win = arg(), arg(), window()
  local limits = {}
  for i = 1, int() do limits[i] = { int(), int(), arg() } end
  local key, own = P .. ':c:' .. id, P .. ':p:' .. id .. ':' .. store
  if not win then
    local left = int()
    at = at + 2 * left
    say(-1)
    say(0)
    return say(0)
  end
  local newest = advance(key, win, { 's' }, win.slot)
  if afresh == '1' then anew(key, own, win, newest) end
  parts(key, own, win, 's', newest)
  if win.step then tidy(own, newest) end
  keep(key, win.life)
  keep(own, win.life)
  local settled = hget(key, 'st')
  say(settled)
  say(hget(key, 'h'))
  local reached = {}
  for _, limit in ipairs(limits) do
    local told = redis.call('HGET', key, 'k' .. limit[1])
    local since = win.step and now - 60 * win.step or newest
    local is_known = limit[3] == '1'
    if (is_known or settled >= limit[2]) and not (told and tonumber(told) >= since) then
      redis.call('HSET', key, 'k' .. limit[1], text(now))
      if not is_known then reached[#reached + 1] = limit[1] end
    end
  end
  say(#reached)
  for _, percent in ipairs(reached) do say(percent) end
end

local function grow()
  local hold, id, limit, more, less, win = arg(), arg(), int(), int(), int(), window()
  local key, own = P .. ':c:' .. id, redis.call('HGET', holds, hold)
  if not win or not own then return say(-2) end
  advance(key, win, { 's' }, win.slot)
  local free = limit - hget(key, 'st') - hget(key, 'h')
  local granted = more <= free and more or (less <= free and less or -1)
  if granted > 0 then
    add(key, 'h', granted)
    redis.call('HSET', holds, hold, 'b ' .. id .. ' ' .. text(tonumber(words(own)[3]) + granted))
  end
  say(granted)
end

local function again()
  local hold, what = arg(), arg()
  if redis.call('HSETNX', holds, hold, what) == 0 then return end
  local w = words(what)
  local key = P .. ':c:' .. w[2]
  if w[1] == 'b' then add(key, 'h', tonumber(w[3])) else add(key, 'o', 1) end
  -- What was told of a month is kept for that month.
  local days = 2 * 86400000000
  if redis.call('PTTL', key) < days / 1000 then keep(key, days) end
end

local function lease()
  local id, limit, least, wanted, win = arg(), int(), int(), int(), window()
  local key, field = P .. ':c:' .. id, 'L' .. id
  if not win then return say(-1) end
  advance(key, win, { 's' }, win.slot)
  local own = redis.call('HGET', holds, field)
  own = own and tonumber(words(own)[3]) or 0
  local free = limit - hget(key, 'st') - (hget(key, 'h') - own)
  local granted = math.max(least, math.min(wanted, free), 0)
  add(key, 'h', granted - own)
  if granted > 0 then redis.call('HSET', holds, field, 'L ' .. id .. ' ' .. text(granted)) else redis.call('HDEL', holds, field) end
  keep(key, win.life)
  say(granted)
end

local function let_in()
  local id, afresh, step = arg(), arg(), int()
  local key, own, win = P .. ':c:' .. id, P .. ':p:' .. id .. ':' .. store, { step = step }
  local newest = advance(key, win, { 'r', 'q' }, math.floor(now / step))
  if afresh == '1' then anew(key, own, win, newest) end
  parts(key, own, win, 'r', newest)
  parts(key, own, win, 'q', newest)
  tidy(own, newest)
  keep(key, 2 * SLOTS * step + 86400000000)
  keep(own, 2 * SLOTS * step + 86400000000)
end

local function lease_rate()
  local id, step = arg(), int()
  local most, least, wanted = { int(), int(), int() }, { int(), int(), int() }, { int(), int(), int() }
  local key, field = P .. ':c:' .. id, 'M' .. id
  advance(key, { step = step }, { 'r', 'q' }, math.floor(now / step))
  local own = redis.call('HGET', holds, field)
  own = own and words(own) or { '', '', '0', '0', '0' }
  local used, held, granted = { 'rt', 'qt', 'o' }, { 'rh', 'qh', 'oh' }, {}
  for i = 1, 3 do
    local before = tonumber(own[i + 2])
    local others = hget(key, held[i]) - before
    granted[i] = most[i] < 0 and 0 or math.max(least[i], 0, math.min(wanted[i], most[i] - hget(key, used[i]) - others))
    add(key, held[i], granted[i] - before)
    say(granted[i])
  end
  for i = 1, 3 do say(hget(key, used[i]) + hget(key, held[i])) end
  if granted[1] + granted[2] + granted[3] > 0 then
    redis.call('HSET', holds, field, table.concat({ 'M', id, text(granted[1]), text(granted[2]), text(granted[3]) }, ' '))
  else
    redis.call('HDEL', holds, field)
  end
  keep(key, 2 * SLOTS * step + 86400000000)
end

for _ = 1, int() do
  local kind = arg()
  if kind == 'x' then
    local hold, tokens, cancel = arg(), int(), arg()
    if tokens < 0 then tokens = nil end
    release(holds, hold, tokens, cancel == '1')
  elseif kind == 'p' then push()
  elseif kind == 'g' then grow()
  elseif kind == 'h' then again()
  elseif kind == 'l' then lease()
  elseif kind == 'u' then let_in()
  elseif kind == 'm' then lease_rate()
  elseif kind == 's' then
    local key, win = P .. ':c:' .. arg(), window()
    if win then advance(key, win, { 's' }, win.slot) end
    say(hget(key, 'st'))
    say(hget(key, 'h'))
  elseif kind == 'q' then
    local key, step = P .. ':c:' .. arg(), int()
    advance(key, { step = step }, { 'r', 'q' }, math.floor(now / step))
    say(hget(key, 'rt') + hget(key, 'rh'))
    say(hget(key, 'qt') + hget(key, 'qh'))
    say(hget(key, 'o') + hget(key, 'oh'))
  end
end
return answer
