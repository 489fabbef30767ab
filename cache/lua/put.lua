-- Replaces a value by a newer one, or buries it under a floor.
-- KEYS: value. ARGV: envelope, ttl in ms, envelope of a floor of the same version, ttl of a floor in ms.
-- Returns 'S' if stored, 'K' if what is here is newer or as new and was kept. A key that has become cold meanwhile is
-- left cold, under the floor: a late put cannot know what else it has missed.
local head = redis.call('GETRANGE', KEYS[1], 0, 33)
if head == '' then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
  return 'K'
end
local here, new = string.sub(head, 3, 18), string.sub(ARGV[1], 3, 18)
if here > new or (here == new and string.sub(ARGV[1], 2, 2) == 'F') then
  return 'K'
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'S'
