-- Stores what the holder of the lease has loaded, and ends the lease.
-- KEYS: value, lease. ARGV: token, envelope, ttl in ms.
-- Returns 'S' if stored, 'L' if the lease is lost, 'K' if something newer is here and was kept, 'T' if it was loaded in
-- the future: others would take it for younger than it is for so long.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 'L'
end
redis.call('DEL', KEYS[2])
local now = redis.call('TIME')
if tonumber(string.sub(ARGV[2], 19, 34)) > (now[1] + 1) * 1000000 + now[2] then
  return 'T'
end
local head = redis.call('GETRANGE', KEYS[1], 0, 17)
if string.sub(head, 1, 1) == '1' and string.sub(head, 3) > string.sub(ARGV[2], 3, 18) then
  return 'K'
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 'S'
