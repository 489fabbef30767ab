-- Replaces a value by a newer one. KEYS: value. ARGV: envelope, ttl in ms.
-- Returns 'S' if stored, 'K' if what is here is newer and was kept. A key that has become cold is left cold: a put that
-- comes late cannot know what else it has missed.
local now = redis.call('TIME')
if tonumber(string.sub(ARGV[1], 19, 34)) > (now[1] + 1) * 1000000 + now[2] then
  return redis.error_reply('AHEAD the clock of Redis is at ' .. now[1])
end
local head = redis.call('GETRANGE', KEYS[1], 0, 17)
if head == '' or (string.sub(head, 1, 1) == '1' and string.sub(head, 3) > string.sub(ARGV[1], 3, 18)) then
  return 'K'
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'S'
