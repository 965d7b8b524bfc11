-- Reads what is stored about a user.
--
-- KEYS[1]  the user's Redis key
-- KEYS[2]  a name on the same node at which nothing is ever stored
--
-- DEL is a write, so a Redis that answers but takes no writes (its disk is full, it has lost its
-- replicas, it is a replica itself) refuses the script: it may have missed a change.

redis.call('DEL', KEYS[2])
return redis.call('GET', KEYS[1])
