-- apply: count one batch and slide the window, or change nothing and say why.
-- KEYS[1] meta of the generation
-- ARGV[1] the batch as msgpack:
--   generation, topic_id, window_ms, bucket_ms, max_future_ms, counted: what the caller believes to be true
--   offsets  {{partition, expected, next}, ...}
--   wal      {{partition, text}, ...}: where the latest messages stand in their publisher's log; mostly empty
--   buckets  {[start] = {[dimension] = {[member] = sums}}}; starts are text; sums has for each measure, in order, what
--            is added, as `plus` has it
--   display  {[dimension] = {[member] = JSON}}, for each dimension with something to show
--   lag      messages that the caller knows to be waiting
--   parts    of one of several shards: {{partition, lag}, ...}, all its partitions; absent of a tally that reads all
--   kafka_at_least, kafka_at_most  between which times Kafka's clock stands at present, in ms since 1970; 0: not known
--   lifetime_ms  for a build: how long its keys live without another batch; 0 for the live generation
-- Returns {'applied', as_of, late, future} or {refusal, state}; the refusals are
--   absent: no offsets here; generation, topic, geometry, offsets: not what the caller believes;
--   behind, ahead: this server's clock and Kafka's are more than CLOCKS_APART_MS apart, so one of them is wrong;
--   clock: this server's clock went back by more than CLOCK_TOLERANCE_MS, so buckets left the window too early.
local CLOCK_TOLERANCE_MS = 2000
local CLOCKS_APART_MS = 10000
-- For how long a bucket that lies too far ahead is kept until its time comes.
local FUTURE_KEPT_MS = 3600000

local prefix = prefix_of(KEYS[1])
local batch = cmsgpack.unpack(ARGV[1])
local offsets_key = prefix .. 'offsets'
local buckets_key = prefix .. 'buckets'
local future_key = prefix .. 'future'
local counted = counted_of(batch.counted)
local dimensions, measures, displays = counted.dimensions, counted.measures, counted.displays

local function refusal(now)
  if redis.call('EXISTS', offsets_key) == 0 then return 'absent' end
  local meta = redis.call('HMGET', KEYS[1],
    'generation', 'topic_id', 'window_ms', 'bucket_ms', 'max_future_ms', 'as_of', 'counted', 'clock')
  if meta[1] ~= batch.generation then return 'generation' end
  if meta[2] ~= batch.topic_id then return 'topic' end
  if meta[3] ~= text(batch.window_ms) or meta[4] ~= text(batch.bucket_ms)
    or meta[5] ~= text(batch.max_future_ms) or (meta[7] or UNSAID) ~= batch.counted then return 'geometry' end
  if (batch.kafka_at_least or 0) > 0 and batch.kafka_at_least - now > CLOCKS_APART_MS then return 'behind' end
  if (batch.kafka_at_most or 0) > 0 and now - batch.kafka_at_most > CLOCKS_APART_MS then return 'ahead' end
  local latest = math.max(tonumber(meta[6] or 0), tonumber(meta[8] or 0))
  if latest - now > CLOCK_TOLERANCE_MS then return 'clock' end
  for _, move in ipairs(batch.offsets) do
    -- A partition without an offset is new: it starts at 0.
    if tonumber(redis.call('HGET', offsets_key, move[1]) or 0) ~= move[2] then return 'offsets' end
  end
  return nil
end

-- dimension -> member -> sums: what this call changes in the views.
local changes = {}
for _, dimension in ipairs(dimensions) do changes[dimension] = {} end

-- `sums` belongs to the changes from then on.
local function change(dimension, member, sums)
  local present = changes[dimension][member]
  if not present then
    changes[dimension][member] = sums
    return
  end
  for column = 1, #measures do present[column] = plus(present[column], sums[column]) end
end

-- Returns member -> its sums in a bucket.
local function sums_in(bucket, dimension)
  local of = {}
  for column, measure in ipairs(measures) do
    local flat = redis.call('HGETALL', bucket_key(prefix, bucket, dimension, measure))
    for i = 1, #flat, 2 do
      if column == 1 then of[flat[i]] = {} end
      of[flat[i]][column] = stored(flat[i + 1])
    end
  end
  return of
end

local function take_bucket_out(bucket)
  for _, dimension in ipairs(dimensions) do
    for member, sums in pairs(sums_in(bucket, dimension)) do
      for column = 1, #measures do sums[column] = negated(sums[column]) end
      change(dimension, member, sums)
    end
  end
  local keys = {}
  append_bucket_keys(keys, prefix, counted, {bucket})
  redis.call('UNLINK', unpack(keys))
  redis.call('ZREM', buckets_key, bucket)
end

local function slide(window_start)
  local expired = redis.call('ZRANGEBYSCORE', buckets_key, '-inf', '(' .. text(window_start))
  if #expired > 0 and #expired == redis.call('ZCARD', buckets_key) then
    -- After a long pause everything has left: subtracting it member by member would block readers for long.
    local keys = {}
    append_view_keys(keys, prefix, counted)
    for _, key in ipairs(keys) do redis.call('UNLINK', key) end
    return
  end
  for _, bucket in ipairs(expired) do take_bucket_out(bucket) end
end

-- Arguments of many members go into one call: a call for each would take four times as long.
local CHUNK = 1000

local function chunks_of(members, visit)
  for first = 1, #members, CHUNK do
    visit(first, math.min(first + CHUNK - 1, #members))
  end
end

local function members_of(sums)
  local members = {}
  for member in pairs(sums) do members[#members + 1] = member end
  return members
end

local function add_to_hash(key, members, sums, column)
  chunks_of(members, function(first, last)
    local present, arguments = redis.call('HMGET', key, unpack(members, first, last)), {}
    for i = first, last do
      arguments[#arguments + 1] = members[i]
      arguments[#arguments + 1] = written(plus(stored(present[i - first + 1] or '0'), sums[members[i]][column]))
    end
    redis.call('HSET', key, unpack(arguments))
  end)
end

-- `list_key` names the set of buckets to which this one belongs.
local function add_to_bucket(list_key, bucket, adds)
  redis.call('ZADD', list_key, bucket, bucket)
  for _, dimension in ipairs(dimensions) do
    local members = members_of(adds[dimension])
    for column, measure in ipairs(measures) do
      add_to_hash(bucket_key(prefix, bucket, dimension, measure), members, adds[dimension], column)
    end
  end
end

-- A score is a double. Where a sum has outgrown what a double holds exactly, nothing is added to its score and nothing
-- subtracted: it is the sum of the buckets, rounded once, so no error stays when the large values have left.
local function recounted(dimension, measure, member)
  local sum = 0
  for _, bucket in ipairs(redis.call('ZRANGE', buckets_key, 0, -1)) do
    sum = plus(sum, stored(redis.call('HGET', bucket_key(prefix, bucket, dimension, measure), member) or '0'))
  end
  return rounded(sum)
end

local function score_of(dimension, measure, member, present, added)
  if type(added) == 'number' and math.abs(present) < EXACT then
    local sum = plus(present, added)
    if type(sum) == 'number' then return sum end
  end
  return recounted(dimension, measure, member)
end

local function add_to_changes(adds)
  for _, dimension in ipairs(dimensions) do
    for member, sums in pairs(adds[dimension]) do change(dimension, member, sums) end
  end
end

-- Returns the members whose score became 0.
local function add_to_view(dimension, column, members, sums)
  local key, zeros = view_key(prefix, dimension, measures[column]), {}
  chunks_of(members, function(first, last)
    local present, arguments = redis.call('ZMSCORE', key, unpack(members, first, last)), {}
    for i = first, last do
      local member, score = members[i], tonumber(present[i - first + 1] or 0)
      score = score_of(dimension, measures[column], member, score, sums[member][column])
      if score == 0 then zeros[#zeros + 1] = member end
      arguments[#arguments + 1] = score
      arguments[#arguments + 1] = member
    end
    redis.call('ZADD', key, unpack(arguments))
  end)
  return zeros
end

-- A member leaves with its last event, whatever its other sums are.
local function update_view(dimension, sums)
  local members, display = members_of(sums), displays[dimension]
  local gone = add_to_view(dimension, 1, members, sums)
  for column = 2, #measures do add_to_view(dimension, column, members, sums) end
  chunks_of(gone, function(first, last)
    for _, measure in ipairs(measures) do
      redis.call('ZREM', view_key(prefix, dimension, measure), unpack(gone, first, last))
    end
    if display then redis.call('HDEL', prefix .. display, unpack(gone, first, last)) end
  end)
end

local function set_display(key, members, text_of)
  chunks_of(members, function(first, last)
    local arguments = {}
    for i = first, last do
      local shown = text_of(members[i])
      if shown then
        arguments[#arguments + 1] = members[i]
        arguments[#arguments + 1] = shown
      end
    end
    if #arguments > 0 then redis.call('HSET', key, unpack(arguments)) end
  end)
end

-- `before` is what the names of the hashes begin with.
local function show(before, adds)
  for dimension, display in pairs(displays) do
    local texts = batch.display[dimension] or {}
    set_display(before .. display, members_of(adds[dimension]), function(member) return texts[member] end)
  end
end

local function show_kept(dimension, members)
  local shown = {}
  chunks_of(members, function(first, last)
    local texts = redis.call('HMGET', prefix .. 'future-' .. displays[dimension], unpack(members, first, last))
    for i = first, last do shown[members[i]] = texts[i - first + 1] end
  end)
  set_display(prefix .. displays[dimension], members, function(member) return shown[member] end)
end

-- The time of a bucket has come: it becomes one of the window's, with what was kept of it.
local function count_kept(bucket)
  for _, dimension in ipairs(dimensions) do
    local sums = sums_in(bucket, dimension)
    if displays[dimension] then show_kept(dimension, members_of(sums)) end
    for member, of in pairs(sums) do change(dimension, member, of) end
  end
  redis.call('ZADD', buckets_key, bucket, bucket)
end

-- After the window has slid. A bucket that was kept and has left the window meanwhile was never in it.
local function take_up_kept(window_start, latest)
  local due = redis.call('ZRANGEBYSCORE', future_key, '-inf', text(latest))
  for _, bucket in ipairs(due) do
    if tonumber(bucket) < window_start then
      local keys = {}
      append_bucket_keys(keys, prefix, counted, {bucket})
      redis.call('UNLINK', unpack(keys))
    else
      count_kept(bucket)
    end
    redis.call('ZREM', future_key, bucket)
  end
  if #due > 0 and redis.call('EXISTS', future_key) == 0 then
    for _, display in pairs(displays) do redis.call('UNLINK', prefix .. 'future-' .. display) end
  end
end

-- An event counts under one member of each dimension.
local function events_of(adds)
  local events = 0
  for _, sums in pairs(adds[dimensions[1]]) do events = events + sums[1] end
  return events
end

-- Says as of when the views hold, and where their window starts. One of several shards vouches for its partitions: so the
-- views hold as of the time of the partition that nobody has vouched for for longest, while the window follows the clock.
local function note_time(now, window_start)
  local edge = text(window_start)
  if not batch.parts then
    redis.call('HSET', KEYS[1], 'as_of', text(now), 'window_start', edge, 'lag', text(batch.lag))
    return
  end
  local noted = redis.call('HMGET', KEYS[1], 'as_of', 'as_of_shards')
  -- Else a tally that read all partitions was the last: what it said holds for each of them.
  local is_divided = noted[1] and noted[1] == noted[2]
  local lags, partitions = {}, redis.call('HKEYS', offsets_key)
  for _, part in ipairs(batch.parts) do
    local partition = text(part[1])
    if redis.call('HEXISTS', offsets_key, partition) == 0 then partitions[#partitions + 1] = partition end
    lags[partition] = part[2]
  end
  local arguments, oldest, lag = {'clock', text(now), 'window_start', edge}, now, 0
  for _, partition in ipairs(partitions) do
    local before = redis.call('HMGET', KEYS[1], 'as_of:' .. partition, 'lag:' .. partition)
    local at, waiting = is_divided and before[1] or noted[1], is_divided and tonumber(before[2] or 0) or 0
    if lags[partition] then at, waiting = text(now), lags[partition] end
    oldest, lag = oldest and at and math.min(oldest, tonumber(at)), lag + waiting
    if at then
      for _, value in ipairs({'as_of:' .. partition, at, 'lag:' .. partition, text(waiting)}) do
        arguments[#arguments + 1] = value
      end
    end
  end
  if oldest then
    for _, value in ipairs({'as_of', text(oldest), 'as_of_shards', text(oldest), 'lag', text(lag)}) do
      arguments[#arguments + 1] = value
    end
  end
  redis.call('HSET', KEYS[1], unpack(arguments))
end

local now = now_ms()
local refused = refusal(now)
if refused then return {refused, present_state(prefix)} end

-- Within the tolerance the window stands still rather than going back.
local times = redis.call('HMGET', KEYS[1], 'as_of', 'clock')
now = math.max(now, tonumber(times[1] or 0), tonumber(times[2] or 0))
local edge = now - batch.window_ms
local window_start = edge - edge % batch.bucket_ms

-- First a write that a full server refuses: then nothing at all has been changed.
note_time(now, window_start)
slide(window_start)
local latest = now + batch.max_future_ms
take_up_kept(window_start, latest)

local late, future = 0, 0
for bucket, adds in pairs(batch.buckets) do
  local start = tonumber(bucket)
  if start < window_start then
    late = late + events_of(adds)
  elseif start <= latest then
    add_to_bucket(buckets_key, bucket, adds)
    add_to_changes(adds)
    show(prefix, adds)
  else
    future = future + events_of(adds)
    if start <= latest + FUTURE_KEPT_MS then
      add_to_bucket(future_key, bucket, adds)
      show(prefix .. 'future-', adds)
    end
  end
end
for _, dimension in ipairs(dimensions) do update_view(dimension, changes[dimension]) end
if late > 0 then redis.call('HINCRBY', KEYS[1], 'late', late) end
if future > 0 then redis.call('HINCRBY', KEYS[1], 'future', future) end
for _, move in ipairs(batch.offsets) do
  redis.call('HSET', offsets_key, move[1], text(move[3]))
end
for _, entry in ipairs(batch.wal) do redis.call('HSET', prefix .. 'wal', entry[1], entry[2]) end
if batch.lifetime_ms > 0 then
  for _, key in ipairs(keys_of(prefix, counted)) do redis.call('PEXPIRE', key, text(batch.lifetime_ms)) end
end
return {'applied', now, late, future}
