-- What the scripts of shared counters have in common. Keys are P:c:ID (a counter, hash), P:p:ID:STORE (what one store was
-- charged for a budget, or let in under a lease of a rate limit, by slot, hash), P:h:REPLICA (what a replica holds, hash),
-- P:n:REPLICA (the number of the last call in which one told something), P:members (when replicas are given up, sorted set), P:epoch,
-- P:o:STORE. P holds a hash tag, so all keys share a slot.
-- Amounts are whole numbers below 2^53, which a Lua number holds exactly.

local SLOTS = 61
local P = KEYS[1]
local at = 1
local function arg() local value = ARGV[at]; at = at + 1; return value end
local function int() return tonumber(arg()) end
local function text(number) return string.format('%.0f', number) end
local function hget(key, field) return tonumber(redis.call('HGET', key, field) or '0') end
local function hmget(key, ...)
  local values = redis.call('HMGET', key, ...)
  for i = 1, select('#', ...) do values[i] = tonumber(values[i] or '0') end
  return values
end
local function add(key, field, amount)
  if amount == 0 then return end
  local sum = redis.call('HINCRBY', key, field, text(amount))
  if sum < 0 then redis.call('HSET', key, field, '0') end
end

-- Redis's clock in microseconds, or, for tests, the one that is given.
local given = arg()
local now
if given == '' then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
else
  now = tonumber(given)
end

-- Notes the last call in which a replica told something; gives the one before. One that is there no more is forgotten in a day.
local function note(replica, number)
  local key = P .. ':n:' .. replica
  local before = redis.call('GET', key)
  redis.call('SET', key, number, 'PX', '86400000')
  return before or '-1'
end

local function keep(key, life_us) redis.call('PEXPIRE', key, text(math.ceil(life_us / 1000))) end

-- Windows ---------------------------------------------------------------------------------------------------------------
-- A window is read from the arguments: 'c' and the four bounds of the calendar's windows around now, or 'r' and the length of a step.
local function window()
  if arg() == 'c' then
    local bounds = { int(), int(), int(), int() }
    local found
    for i = 1, 3 do
      if bounds[i] <= now and now < bounds[i + 1] then found = i end
    end
    if not found then return nil end
    return { slot = bounds[found], ends = bounds[found + 1], life = bounds[4] - now + 86400000000 }
  end
  local step = int()
  return { step = step, slot = math.floor(now / step), life = 2 * SLOTS * step + 86400000000 }
end

local function name(prefix, step) return prefix .. text(step % SLOTS) end

-- Forgets what is too old in the windows with these prefixes; gives the newest slot.
local function advance(key, win, prefixes, slot)
  local newest = redis.call('HGET', key, 'n')
  newest = newest and tonumber(newest)
  if newest and slot <= newest then return newest end
  redis.call('HSET', key, 'n', text(slot))
  if not newest then return slot end
  for _, prefix in ipairs(prefixes) do
    local sum = prefix .. 't'
    if not win.step then
      redis.call('HDEL', key, sum)
    elseif slot - newest >= SLOTS then
      local names = { sum }
      for step = 0, SLOTS - 1 do names[#names + 1] = name(prefix, step) end
      redis.call('HDEL', key, unpack(names))
    else
      local names, gone = {}, 0
      for step = newest + 1, slot do names[#names + 1] = name(prefix, step) end
      for _, amount in ipairs(redis.call('HMGET', key, unpack(names))) do gone = gone + tonumber(amount or '0') end
      redis.call('HDEL', key, unpack(names))
      add(key, sum, -gone)
    end
  end
  return slot
end

-- Adds to a slot that still counts. Less is never taken than is there.
local function put(key, win, prefix, newest, slot, amount)
  if amount == 0 then return end
  if not win.step then
    if slot == newest then add(key, prefix .. 't', amount) end
    return
  end
  if slot > newest then slot = newest end
  if newest - slot >= SLOTS then return end
  local field = name(prefix, slot)
  if amount < 0 then amount = -math.min(-amount, hget(key, field)) end
  add(key, field, amount)
  add(key, prefix .. 't', amount)
end

-- The first moment at which the sum of a sliding window is at most `most`.
local function falls_to(key, win, prefix, newest, sum, most)
  local left = sum
  if left <= most then return now end
  local names, oldest = {}, newest - SLOTS + 1
  for step = oldest, newest do names[#names + 1] = name(prefix, step) end
  for i, amount in ipairs(redis.call('HMGET', key, unpack(names))) do
    left = left - tonumber(amount or '0')
    if left <= most then return (oldest + i - 1 + SLOTS) * win.step end
  end
  return (newest + SLOTS) * win.step
end

-- Holds -----------------------------------------------------------------------------------------------------------------
-- A hold is a field of its replica's hash. Of a budget: 'b', counter, amount. Of a rate limit: 'r', counter, length of a step,
-- step, requests, tokens ('-': none were counted). One that was held again has '-', '-', 0, '-': there is nothing to correct.
-- A lease: 'L', counter, amount; 'M', counter, requests, tokens, exchanges.
local function words(hold)
  local list = {}
  for word in string.gmatch(hold, '%S+') do list[#list + 1] = word end
  return list
end

-- Gives a hold up. `tokens` is what it came to; nil leaves what was let in as it is. `cancel`: as if it had never been asked for.
local function release(holds, field, tokens, cancel)
  local hold = redis.call('HGET', holds, field)
  if not hold then return end
  redis.call('HDEL', holds, field)
  local w = words(hold)
  local key = P .. ':c:' .. w[2]
  if w[1] == 'b' or w[1] == 'L' then
    add(key, 'h', -tonumber(w[3]))
  elseif w[1] == 'M' then
    add(key, 'rh', -tonumber(w[3]))
    add(key, 'qh', -tonumber(w[4]))
    add(key, 'oh', -tonumber(w[5]))
  else
    add(key, 'o', -1)
    local requests, corrects = cancel and tonumber(w[5]) or 0, tokens and w[6] ~= '-'
    if requests > 0 or corrects then
      local win, step = { step = tonumber(w[3]) }, tonumber(w[4])
      local newest = advance(key, win, { 'r', 'q' }, math.floor(now / win.step))
      put(key, win, 'r', newest, step, -requests)
      if corrects then put(key, win, 'q', newest, step, tokens - tonumber(w[6])) end
    end
  end
end
