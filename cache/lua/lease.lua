-- Reads the value, or grants the lease to load it.
-- KEYS: value, lease. ARGV: token, lease in ms, least version, least loaded-at.
-- Returns 'H' and the value if it is good enough, 'G' if the lease is granted, 'B' if somebody has it. A value of another
-- format (the first byte) is as good as none, here and in the other scripts.
local head = redis.call('GETRANGE', KEYS[1], 0, 33)
if string.sub(head, 1, 1) == '1' and string.sub(head, 3, 18) >= ARGV[3] and string.sub(head, 19, 34) >= ARGV[4] then
  return 'H' .. redis.call('GET', KEYS[1])
end
-- A request that arrives twice has one answer.
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', KEYS[2]) == ARGV[1] then
  return 'G'
end
return 'B'
