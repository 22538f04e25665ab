-- A replica says that it is there, and gives up what replicas hold that are not. KEYS: P. ARGV: now or '', replica, store, time until
-- it is given up (microseconds), claims the store (0, 1), a word for a new epoch, the number of this call.
-- Answers: now, the epoch, whether the replica was known (0, 1), whether another replica has claimed its store (0, 1), whether there is
-- more to give up (0, 1), the number of the last call of this replica that is known (-1: none).

local replica, store, life, claims, epoch, number = arg(), arg(), int(), arg(), arg(), arg()
local last = note(replica, number)
local members, owner = P .. ':members', P .. ':o:' .. store
redis.call('SET', P .. ':epoch', epoch, 'NX')
local before = redis.call('GET', owner)
if claims == '1' then
  redis.call('SET', owner, replica)
  -- A store has one process: the one before has ended, whatever it held.
  if before and before ~= replica then redis.call('ZADD', members, 'XX', '0', before) end
elseif not before then
  redis.call('SET', owner, replica)
  before = replica
end
local fenced = claims ~= '1' and before ~= replica
local known = redis.call('ZSCORE', members, replica)
if fenced then
  redis.call('ZREM', members, replica)
else
  redis.call('ZADD', members, text(now + life), replica)
end

local RELEASES = 1000
local left = RELEASES
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', text(now), 'LIMIT', 0, 4)) do
  local holds = P .. ':h:' .. gone
  local cursor = '0'
  repeat
    local page = redis.call('HSCAN', holds, cursor, 'COUNT', 100)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      release(holds, page[2][i])
      left = left - 1
    end
  until cursor == '0' or left <= 0
  if redis.call('HLEN', holds) == 0 then redis.call('ZREM', members, gone) end
  if left <= 0 then break end
end
local more = #redis.call('ZRANGEBYSCORE', members, '-inf', text(now), 'LIMIT', 0, 1)
return { text(now), redis.call('GET', P .. ':epoch'), known and '1' or '0', fenced and '1' or '0', text(more), last }
