-- promote: put a build in the place of the live generation, all keys at once, unless another build was faster.
-- KEYS[1] meta of the live generation, KEYS[2] meta of the build
-- ARGV[1] the live generation at the time the build began, '' for none; ARGV[2] the generation of the build
-- Returns 'promoted', 'raced' (another generation is live) or 'gone' (the build has expired).
local live, build = prefix_of(KEYS[1]), prefix_of(KEYS[2])
if (redis.call('HGET', KEYS[1], 'generation') or '') ~= ARGV[1] then return 'raced' end
if redis.call('HGET', KEYS[2], 'generation') ~= ARGV[2] then return 'gone' end
-- The live generation may count by other dimensions; one that lost its meta says nothing, and counted as this one did.
local counted, old = counted_in(build), {}
for _, former in ipairs({counted_in(live), counted}) do
  for _, key in ipairs(keys_of(live, former)) do old[#old + 1] = key end
end
for _, key in ipairs(old) do redis.call('UNLINK', key) end
for _, key in ipairs(keys_of(build, counted)) do
  if redis.call('EXISTS', key) == 1 then
    redis.call('PERSIST', key)
    redis.call('RENAME', key, live .. key:sub(#build + 1))
  end
end
return 'promoted'
