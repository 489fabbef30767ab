-- Takes a document out. KEYS: value, lease.
redis.call('DEL', KEYS[1], KEYS[2])
return ''
