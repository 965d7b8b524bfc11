-- The beginning of a write: stores "write pending" instead of what is there, and reports it to the
-- other replicas. Returns what was there.
--
-- KEYS[1]  the user's Redis key
-- ARGV[1]  the value that says "write pending"
-- ARGV[2]  how long it is kept, in milliseconds
-- ARGV[3]  the channel
-- ARGV[4]  the message to the other replicas

local old = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return old
