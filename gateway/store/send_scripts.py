"""What ``RedisSends`` does in one step on Redis. Names: the locks, then the records, of every key."""

CLAIM = """
local n = #KEYS / 2
for i = 1, n do
  local held = redis.call('GET', KEYS[i])
  if held then return {i, held} end
end
for i = 1, n do redis.call('SET', KEYS[i], ARGV[i + 1], 'PX', ARGV[1]) end
local records = {0}
for i = 1, n do records[i + 1] = redis.call('GET', KEYS[n + i]) end
return records
"""
"""Take all locks or none. Gives 0 and the records, or which lock is held and by whom."""

REFRESH = """
for i = 1, #KEYS do
  if redis.call('GET', KEYS[i]) ~= ARGV[i + 1] then return 0 end
end
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[1]) end
return 1
"""
"""Give the locks their time anew, if all are held still."""

RELEASE = """
for i = 1, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[i] then redis.call('DEL', KEYS[i]) end
end
"""
"""Drop the locks that are held still."""

NOTE = """
local n = #KEYS / 2
if ARGV[1] == 'mine' then
  for i = 1, n do
    if redis.call('GET', KEYS[i]) ~= ARGV[i + 2] then return 0 end
  end
end
for i = 1, n do
  local value = ARGV[n + i + 2]
  if value == '' then redis.call('DEL', KEYS[n + i])
  else redis.call('SET', KEYS[n + i], value, 'PX', ARGV[2]) end
end
return 1
"""
"""Write the records, an empty one away; if ``mine``, only while all locks are held."""

TAKE_BACK = """
local n = #KEYS / 2
for i = 1, n do
  if redis.call('GET', KEYS[n + i]) == ARGV[n + i] then redis.call('DEL', KEYS[n + i]) end
  if redis.call('GET', KEYS[i]) == ARGV[i] then redis.call('DEL', KEYS[i]) end
end
"""
"""Drop the records if they are the ones given, and the locks if they are held still."""
