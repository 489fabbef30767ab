-- Stores what the holder of the lease has loaded.
-- KEYS: value, lease. ARGV: token, envelope, ttl in ms.
-- Returns 'S' if stored; 'O' and the version that is here if that is newer, the lease stays; 'L' if the lease is lost.
local head = redis.call('GETRANGE', KEYS[1], 0, 33)
if head ~= '' and string.sub(head, 3, 18) > string.sub(ARGV[2], 3, 18) then
  return 'O' .. string.sub(head, 3, 18)
end
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 'L'
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 'S'
