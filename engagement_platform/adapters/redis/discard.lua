-- discard: remove a build.
-- KEYS[1] meta of the build
for _, key in ipairs(keys_of(prefix_of(KEYS[1]))) do redis.call('UNLINK', key) end
return 'discarded'
