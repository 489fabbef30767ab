-- Gives a lease back unused. KEYS: value, lease. ARGV: token.
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
end
return ''
