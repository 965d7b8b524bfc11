-- The cluster was asked: stores its answer if nothing has changed since before it was asked, and
-- reports it to the other replicas. Returns 1 if the answer is stored; also to a replica that runs
-- the script twice because the first result was lost.
--
-- KEYS[1]  the user's Redis key
-- ARGV[1]  what must be stored now; empty for nothing
-- ARGV[2]  the new value
-- ARGV[3]  how long it is kept, in milliseconds
-- ARGV[4]  the channel
-- ARGV[5]  the message to the other replicas

local now = redis.call('GET', KEYS[1]) or ''
if now == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  redis.call('PUBLISH', ARGV[4], ARGV[5])
  return 1
end
if now == ARGV[2] then
  return 1
end
return 0
