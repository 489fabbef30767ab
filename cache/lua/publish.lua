-- Appends to the feed and moves the checkpoint, together.
-- KEYS: stream, state. ARGV: term, last sequence number ('' for none), next one, the term before ('' unless this is the
-- first entry of the term), epoch, checkpoint ('' to leave it), watermark ('' for no news), changes, longest length of
-- the stream, roster, name of the leader.
-- Refuses whoever is not, or no longer, the leader that this state knows, and a watermark in the future: nodes would
-- take their entries for younger than they are for so long.
local state = redis.call('HMGET', KEYS[2], 'term', 'seq')
if (state[1] or '') ~= ARGV[1] or (state[2] or '') ~= ARGV[2] then
  return redis.error_reply('DEPOSED the feed is at term ' .. (state[1] or '?') .. ' entry ' .. (state[2] or '?'))
end
local now = redis.call('TIME')
if (tonumber(ARGV[7]) or 0) > (now[1] + 1) * 1000000 + now[2] then
  return redis.error_reply('AHEAD the clock of Redis is at ' .. now[1])
end
redis.call('HSET', KEYS[2], 'seq', ARGV[3], 'epoch', ARGV[5], 'roster', ARGV[10], 'leader', ARGV[11])
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[2], 'checkpoint', ARGV[6])
end
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[9], '*',
  'term', ARGV[1], 'seq', ARGV[3], 'after', ARGV[4], 'epoch', ARGV[5], 'watermark', ARGV[7], 'changes', ARGV[8], 'roster', ARGV[10])
