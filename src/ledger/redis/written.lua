-- The end of a write: stores the new value if nobody else wrote meanwhile, else nothing, and
-- reports it to the other replicas. A value that says that another write is pending stays. Returns
-- 1 if the new value is stored.
--
-- KEYS[1]  the user's Redis key
-- ARGV[1]  how our own "write pending" begins; empty if it must not be replaced
-- ARGV[2]  the new value
-- ARGV[3]  how long it is kept, in milliseconds
-- ARGV[4]  the channel
-- ARGV[5]  the message to the other replicas

-- Where a value has its kind, counted from 1, and the kind of a pending write (ledger/seal.rs).
local KIND_AT = 2
local WRITE_PENDING = 'f'

local now = redis.call('GET', KEYS[1])
local stored = 0
if now and ARGV[1] ~= '' and string.sub(now, 1, #ARGV[1]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  stored = 1
elseif now and string.sub(now, KIND_AT, KIND_AT) ~= WRITE_PENDING then
  redis.call('DEL', KEYS[1])
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
return stored
