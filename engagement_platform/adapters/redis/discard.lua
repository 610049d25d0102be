-- discard: remove a build.
-- KEYS[1] meta of the build
local prefix = prefix_of(KEYS[1])
for _, key in ipairs(keys_of(prefix, counted_in(prefix))) do redis.call('UNLINK', key) end
return 'discarded'
