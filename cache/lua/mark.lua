-- Tells a key that its document has reached a version.
-- KEYS: value, lease. ARGV: envelope of a floor of the version, its ttl in ms.
-- Ends the lease, so that no load under way can fill. Returns 'C' if the key is cold: a floor is left; 'N' if the value
-- is as new; 'S' if it is stale and wants a put. Each branch writes, so that WAIT covers the call.
local head = redis.call('GETRANGE', KEYS[1], 0, 33)
local version, kind = string.sub(head, 3, 18), string.sub(head, 2, 2)
redis.call('DEL', KEYS[2])
if head ~= '' and kind ~= 'F' then
  redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), 1))
  return version >= string.sub(ARGV[1], 3, 18) and 'N' or 'S'
end
if head ~= '' and version > string.sub(ARGV[1], 3, 18) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 'C'
