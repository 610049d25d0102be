-- begin: start an empty generation that nobody reads yet.
-- KEYS[1] meta of the build
-- ARGV[1] as msgpack: generation, topic_id, window_ms, bucket_ms, max_future_ms, counted, offsets {{partition, offset}, ...},
--   evicted: how many keys the server had evicted, and its run_id; '' where that is not known
--   lifetime_ms: how long the keys live without a batch, so that the build of a dead process goes away
local prefix = prefix_of(KEYS[1])
local build = cmsgpack.unpack(ARGV[1])
redis.call('HSET', KEYS[1], 'generation', build.generation, 'topic_id', build.topic_id,
  'window_ms', text(build.window_ms), 'bucket_ms', text(build.bucket_ms),
  'max_future_ms', text(build.max_future_ms), 'counted', build.counted, 'late', 0, 'future', 0)
if (build.evicted or '') ~= '' then redis.call('HSET', KEYS[1], 'evicted', build.evicted) end
for _, entry in ipairs(build.offsets) do
  redis.call('HSET', prefix .. 'offsets', entry[1], text(entry[2]))
end
for _, key in ipairs(keys_of(prefix, counted_of(build.counted))) do redis.call('PEXPIRE', key, text(build.lifetime_ms)) end
return 'begun'
