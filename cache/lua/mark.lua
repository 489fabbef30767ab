-- Tells a key that its document has reached a version, which every load from now on will see.
-- KEYS: value, lease. ARGV: version.
-- Ends the lease, so that no load that began before can fill. Returns 'C' if the key is cold, 'N' if the value is as new,
-- 'S' if it is stale and wants a put.
redis.call('DEL', KEYS[2])
local head = redis.call('GETRANGE', KEYS[1], 0, 17)
if head == '' then
  return 'C'
end
return string.sub(head, 1, 1) == '1' and string.sub(head, 3) >= ARGV[1] and 'N' or 'S'
