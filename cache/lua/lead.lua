-- Begins a term. KEYS: state. ARGV: the new term's name, the time in microseconds.
-- Returns the old term, its last sequence number, the epoch, the checkpoint, the roster and who
-- published last, each '' if there is none.
local now = redis.call('TIME')
if tonumber(ARGV[2]) > (now[1] + 1) * 1000000 + now[2] then
  return redis.error_reply('AHEAD the clock of Redis is at ' .. now[1])
end
local state = redis.call('HMGET', KEYS[1], 'term', 'seq', 'epoch', 'checkpoint', 'roster', 'leader')
redis.call('HSET', KEYS[1], 'term', ARGV[1])
for i = 1, 6 do
  state[i] = state[i] or ''
end
return state
