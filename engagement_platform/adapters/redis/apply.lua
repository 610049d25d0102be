-- apply: count one batch and slide the window, or change nothing and say why.
-- KEYS[1] meta of the generation
-- ARGV[1] the batch as msgpack:
--   generation, topic_id, window_ms, bucket_ms, max_future_ms: what the caller believes to be true
--   offsets  {{partition, expected, next}, ...}
--   buckets  {[start] = {[dimension] = {[member] = {count, ms}}}}; starts are text
--   display  {[content_id] = JSON}
--   lag      messages that the caller knows to be waiting
--   lifetime_ms  for a build: how long its keys live without another batch; 0 for the live generation
-- Returns {'applied', as_of, late, future} or {refusal, state}; the refusals are
--   absent: no offsets here; generation, topic, geometry, offsets: not what the caller believes;
--   clock: this server's clock went back by more than CLOCK_TOLERANCE_MS, so buckets left the window too early.
local CLOCK_TOLERANCE_MS = 2000

local prefix = prefix_of(KEYS[1])
local batch = cmsgpack.unpack(ARGV[1])
local offsets_key = prefix .. 'offsets'
local buckets_key = prefix .. 'buckets'
local display_key = prefix .. 'display'

local function refusal(now)
  if redis.call('EXISTS', offsets_key) == 0 then return 'absent' end
  local meta = redis.call('HMGET', KEYS[1],
    'generation', 'topic_id', 'window_ms', 'bucket_ms', 'max_future_ms', 'as_of')
  if meta[1] ~= batch.generation then return 'generation' end
  if meta[2] ~= batch.topic_id then return 'topic' end
  if meta[3] ~= text(batch.window_ms) or meta[4] ~= text(batch.bucket_ms)
    or meta[5] ~= text(batch.max_future_ms) then return 'geometry' end
  if meta[6] and tonumber(meta[6]) - now > CLOCK_TOLERANCE_MS then return 'clock' end
  for _, move in ipairs(batch.offsets) do
    -- A partition without an offset is new: it starts at 0.
    if tonumber(redis.call('HGET', offsets_key, move[1]) or 0) ~= move[2] then return 'offsets' end
  end
  return nil
end

-- Field of a bucket: 'c' or 'm', the number of the dimension, the member as it is.
local function subtract_bucket(bucket)
  local key = bucket_key(prefix, bucket)
  local fields = redis.call('HGETALL', key)
  local gone = {}
  for i = 1, #fields, 2 do
    local kind, dimension, member = fields[i]:sub(1, 1), DIMENSIONS[tonumber(fields[i]:sub(2, 2))], fields[i]:sub(3)
    local measure = kind == 'c' and 'count' or 'ms'
    local left = redis.call('ZINCRBY', view_key(prefix, dimension, measure), text(-tonumber(fields[i + 1])), member)
    if kind == 'c' and tonumber(left) == 0 then gone[#gone + 1] = {dimension, member} end
  end
  for _, entry in ipairs(gone) do
    for _, measure in ipairs(MEASURES) do
      redis.call('ZREM', view_key(prefix, entry[1], measure), entry[2])
    end
    if entry[1] == 'content' then redis.call('HDEL', display_key, entry[2]) end
  end
  redis.call('UNLINK', key)
  redis.call('ZREM', buckets_key, bucket)
end

local function slide(window_start)
  local expired = redis.call('ZRANGEBYSCORE', buckets_key, '-inf', '(' .. text(window_start))
  if #expired > 0 and #expired == redis.call('ZCARD', buckets_key) then
    -- After a long pause everything has left: subtracting it member by member would block readers for long.
    for _, key in ipairs(keys_of(prefix)) do
      if key ~= KEYS[1] and key ~= offsets_key then redis.call('UNLINK', key) end
    end
    return
  end
  for _, bucket in ipairs(expired) do subtract_bucket(bucket) end
end

local function add_bucket(bucket, adds, shown)
  local key = bucket_key(prefix, bucket)
  redis.call('ZADD', buckets_key, bucket, bucket)
  for number, dimension in ipairs(DIMENSIONS) do
    local count_view, ms_view = view_key(prefix, dimension, 'count'), view_key(prefix, dimension, 'ms')
    for member, sums in pairs(adds[dimension]) do
      local count, ms = text(sums[1]), text(sums[2])
      redis.call('HINCRBY', key, 'c' .. number .. member, count)
      redis.call('ZINCRBY', count_view, count, member)
      if sums[2] ~= 0 then redis.call('HINCRBY', key, 'm' .. number .. member, ms) end
      redis.call('ZINCRBY', ms_view, ms, member)
      if dimension == 'content' and batch.display[member] then
        shown[#shown + 1] = member
        shown[#shown + 1] = batch.display[member]
      end
    end
  end
end

local function events_of(adds)
  local events = 0
  for _, sums in pairs(adds.content) do events = events + sums[1] end
  return events
end

local function store_display(shown)
  for i = 1, #shown, 1000 do
    redis.call('HSET', display_key, unpack(shown, i, math.min(i + 999, #shown)))
  end
end

local now = now_ms()
local refused = refusal(now)
if refused then return {refused, present_state(prefix)} end

-- Within the tolerance the window stands still rather than going back.
now = math.max(now, tonumber(redis.call('HGET', KEYS[1], 'as_of') or 0))
local edge = now - batch.window_ms
local window_start = edge - edge % batch.bucket_ms

-- First a write that a full server refuses: then nothing at all has been changed.
redis.call('HSET', KEYS[1], 'as_of', text(now), 'window_start', text(window_start), 'lag', text(batch.lag))
slide(window_start)

local late, future, shown = 0, 0, {}
for bucket, adds in pairs(batch.buckets) do
  local start = tonumber(bucket)
  if start < window_start then
    late = late + events_of(adds)
  elseif start > now + batch.max_future_ms then
    future = future + events_of(adds)
  else
    add_bucket(bucket, adds, shown)
  end
end
store_display(shown)
if late > 0 then redis.call('HINCRBY', KEYS[1], 'late', late) end
if future > 0 then redis.call('HINCRBY', KEYS[1], 'future', future) end
for _, move in ipairs(batch.offsets) do
  redis.call('HSET', offsets_key, move[1], text(move[3]))
end
if batch.lifetime_ms > 0 then
  for _, key in ipairs(keys_of(prefix)) do redis.call('PEXPIRE', key, text(batch.lifetime_ms)) end
end
return {'applied', now, late, future}
