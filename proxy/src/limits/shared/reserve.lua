-- Gives up what an exchange holds no more, and holds room in every counter that is asked for, or in none. KEYS: P. ARGV: now or '',
-- replica, deadline (0: none), number of holds to give up as if they had never been asked for, holds, number of items, items. An item of a budget: 'b', hold, counter, amount, limit, insist (0, 1), window. Of a rate limit: 'r', hold, counter, tokens,
-- most requests, most tokens, most exchanges (-1: not limited), insist, window. 'z': refuses.
-- Answers: now, number of the item that refuses (0: none), why, a time, then five figures of each item up to that one.

local holds = P .. ':h:' .. arg()
local deadline = int()
if deadline > 0 and now > deadline then return { text(now), '-1' } end
local leaving = {}
for i = 1, int() do leaving[i] = arg() end
local count = int()
local items, figures, refused, why, extra = {}, {}, 0, 0, 0

local function budget(item)
  item.hold, item.id, item.amount, item.limit, item.insist = arg(), arg(), int(), int(), arg()
  item.win = window()
end

local function rate(item)
  item.hold, item.id, item.tokens = arg(), arg(), int()
  item.requests, item.most_tokens, item.concurrent, item.insist = int(), int(), int(), arg()
  item.win = window()
end

for i = 1, count do
  local item = { kind = arg() }
  if item.kind == 'b' then budget(item) elseif item.kind == 'r' then rate(item) end
  if item.kind ~= 'z' and not item.win then return { text(now), '-2' } end
  if item.id then item.key = P .. ':c:' .. item.id end
  items[i] = item
end

for _, hold in ipairs(leaving) do release(holds, hold, 0, true) end

-- 1: larger than the limit, 2: spent (frees at), 3: held.
local function fits(item)
  local key, win = item.key, item.win
  item.newest = advance(key, win, { 's' }, win.slot)
  local known = hmget(key, 'st', 'h')
  item.settled, item.held = known[1], known[2]
  local code, frees = 0, 0
  local room = item.limit - item.settled
  if item.amount > item.limit then
    code = 1
  elseif room <= 0 or item.amount > room then
    code = 2
    frees = win.ends or falls_to(key, win, 's', item.newest, item.settled,
      math.min(item.limit - item.amount, math.max(item.limit - 1, 0)))
  elseif room - item.held <= 0 or item.amount > room - item.held then
    code = 3
  end
  if item.insist == '1' then code = 0 end
  if code == 0 then item.held = item.held + item.amount end
  figures[#figures + 1] = { item.settled, item.held, 0, 0, 0 }
  return code, frees
end

-- 10 for requests, 20 for tokens, 30 for exchanges; and 0: after a time, 1: when one ends, 2: never.
local function in_time(item)
  local key, win = item.key, item.win
  item.newest = advance(key, win, { 'r', 'q' }, win.slot)
  local code, after, rank = 0, 0, -1
  local function deny(what, new_rank, time)
    if new_rank > rank or (new_rank == rank and new_rank == 1 and time > after) then
      rank, after = new_rank, time
      code = what + ({ [0] = 1, [1] = 0, [2] = 2 })[new_rank]
    end
  end
  local known = hmget(key, 'o', 'oh', 'rt', 'rh', 'qt', 'qh')
  local open = known[1]
  if item.concurrent >= 0 and open + known[2] >= item.concurrent then
    deny(30, item.concurrent == 0 and 2 or 0, 0)
  end
  local function part(what, prefix, most, amount, used, leased)
    if most < 0 then return end
    if amount > most then return deny(what, 2, 0) end
    if used + leased + amount > most then
      local free = falls_to(key, win, prefix, item.newest, used, math.max(most - amount - leased, 0))
      -- What others have leased, and do not need, comes back soon.
      deny(what, 1, math.max(free - now, leased > 0 and 100000 or 1))
    end
  end
  part(10, 'r', item.requests, 1, known[3], known[4])
  part(20, 'q', item.most_tokens, item.tokens, known[5], known[6])
  if item.insist == '1' then code = 0 end
  local took = code == 0 and 1 or 0
  local function stands(prefix, most, amount, used, leased)
    if most < 0 then return -1, 0 end
    local new = took * amount
    local resets = new > 0 and (item.newest + SLOTS) * win.step or falls_to(key, win, prefix, item.newest, used, 0)
    return used + new + leased, resets - now
  end
  local requests, requests_reset = stands('r', item.requests, 1, known[3], known[4])
  local tokens, tokens_reset = stands('q', item.most_tokens, item.tokens, known[5], known[6])
  figures[#figures + 1] = { requests, requests_reset, tokens, tokens_reset, open + took }
  return code, after
end

for i, item in ipairs(items) do
  if item.kind == 'b' then why, extra = fits(item)
  elseif item.kind == 'r' then why, extra = in_time(item)
  else why = 4 end
  if why ~= 0 then
    refused = i
    break
  end
end

if refused == 0 then
  for _, item in ipairs(items) do
    local key = item.key
    if item.kind == 'b' then
      add(key, 'h', item.amount)
      redis.call('HSET', holds, item.hold, 'b ' .. item.id .. ' ' .. text(item.amount))
    else
      add(key, 'o', 1)
      local requests, tokens = '0', '-'
      if item.requests >= 0 then
        put(key, item.win, 'r', item.newest, item.newest, 1)
        requests = '1'
      end
      if item.most_tokens >= 0 then
        put(key, item.win, 'q', item.newest, item.newest, item.tokens)
        tokens = text(item.tokens)
      end
      redis.call('HSET', holds, item.hold,
        table.concat({ 'r', item.id, text(item.win.step), text(item.newest), requests, tokens }, ' '))
    end
    keep(key, item.win.life)
  end
end

local answer = { text(now), text(refused), text(why), text(extra) }
for _, figure in ipairs(figures) do
  for i = 1, 5 do answer[#answer + 1] = text(figure[i]) end
end
return answer
