-- Begins a term. KEYS: state. ARGV: the new term's name.
-- Returns the old term, its last sequence number, the epoch, the checkpoint and the roster, each '' if there is none.
local state = redis.call('HMGET', KEYS[1], 'term', 'seq', 'epoch', 'checkpoint', 'roster')
redis.call('HSET', KEYS[1], 'term', ARGV[1])
for i = 1, 5 do
  state[i] = state[i] or ''
end
return state
