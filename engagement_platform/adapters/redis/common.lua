-- Stands before every other script of this folder: names of keys, the clock, and what is true at present.
-- KEYS[1] is always the meta key of the generation that is worked on; the others share its prefix and its hash tag.

-- What a generation counts whose meta does not say it: the version that built it knew one stream. As in counted.py.
local UNSAID = '{"time":"event_ts","dimensions":'
  .. '[{"name":"content","column":"content_id","shown":["slug","title","content_type"]},'
  .. '{"name":"content_type","column":"content_type","shown":[]},{"name":"device","column":"device","shown":[]}],'
  .. '"measures":[{"name":"count","column":null},{"name":"ms","column":"duration_ms"}]}'

-- Returns what a text of counted.py means: the names of dimensions and measures, in order, the first measure being the
-- number of events; and dimension -> the name of the hash with what to show for its members. The first such dimension
-- has `display`, any other one `display:` and its name.
local function counted_of(said)
  local stream, counted, is_first = cjson.decode(said), {dimensions = {}, measures = {}, displays = {}}, true
  for i, dimension in ipairs(stream.dimensions) do
    counted.dimensions[i] = dimension.name
    if #dimension.shown > 0 then
      counted.displays[dimension.name] = is_first and 'display' or 'display:' .. dimension.name
      is_first = false
    end
  end
  for i, measure in ipairs(stream.measures) do counted.measures[i] = measure.name end
  return counted
end

local function prefix_of(meta_key)
  return meta_key:sub(1, -5)
end

-- What the generation of a prefix counts.
local function counted_in(prefix)
  return counted_of(redis.call('HGET', prefix .. 'meta', 'counted') or UNSAID)
end

local function view_key(prefix, dimension, measure)
  return prefix .. 'view:' .. dimension .. ':' .. measure
end

local function bucket_key(prefix, bucket, dimension, measure)
  return prefix .. 'bucket:' .. bucket .. ':' .. dimension .. ':' .. measure
end

local function each_measure(counted, visit)
  for _, dimension in ipairs(counted.dimensions) do
    for _, measure in ipairs(counted.measures) do visit(dimension, measure) end
  end
end

local function append_bucket_keys(keys, prefix, counted, buckets)
  each_measure(counted, function(dimension, measure)
    for _, bucket in ipairs(buckets) do
      keys[#keys + 1] = bucket_key(prefix, bucket, dimension, measure)
    end
  end)
end

-- What readers see, and the buckets of which it consists; `buckets` lists their starts.
local function append_view_keys(keys, prefix, counted)
  keys[#keys + 1] = prefix .. 'buckets'
  for _, display in pairs(counted.displays) do keys[#keys + 1] = prefix .. display end
  each_measure(counted, function(dimension, measure) keys[#keys + 1] = view_key(prefix, dimension, measure) end)
  append_bucket_keys(keys, prefix, counted, redis.call('ZRANGE', prefix .. 'buckets', 0, -1))
end

-- Every key of a generation. `future` lists the starts of the buckets whose time is still to come.
local function keys_of(prefix, counted)
  local keys = {prefix .. 'meta', prefix .. 'offsets', prefix .. 'wal', prefix .. 'future'}
  for _, display in pairs(counted.displays) do keys[#keys + 1] = prefix .. 'future-' .. display end
  append_view_keys(keys, prefix, counted)
  append_bucket_keys(keys, prefix, counted, redis.call('ZRANGE', prefix .. 'future', 0, -1))
  return keys
end

-- The only clock: milliseconds since 1970 on this server.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Numbers of more than 14 digits would be written as 1e+15.
local function text(number)
  return string.format('%.0f', number)
end

-- Sums are exact however large they grow: a number below EXACT is a number, any other sum is {high, low} with
-- high * BASE + low. As text: 12, or 3:12.
local EXACT = 2 ^ 53
local BASE = 2 ^ 40

local function parts(sum)
  if type(sum) == 'table' then return sum[1], sum[2] end
  local high = math.floor(sum / BASE)
  return high, sum - high * BASE
end

local function rounded(sum)
  if type(sum) == 'number' then return sum end
  return sum[1] * BASE + sum[2]
end

local function plus(a, b)
  if type(a) == 'number' and type(b) == 'number' and math.abs(a + b) < EXACT then return a + b end
  local a_high, a_low = parts(a)
  local b_high, b_low = parts(b)
  local carry = math.floor((a_low + b_low) / BASE)
  local sum = {a_high + b_high + carry, a_low + b_low - carry * BASE}
  if math.abs(rounded(sum)) < EXACT then return rounded(sum) end
  return sum
end

local function negated(sum)
  if type(sum) == 'number' then return -sum end
  return {-sum[1], -sum[2]}
end

local function stored(as_text)
  local high, low = as_text:match('^(-?%d+):(%d+)$')
  if high then return {tonumber(high), tonumber(low)} end
  return tonumber(as_text)
end

local function written(sum)
  if type(sum) == 'number' then return sum end
  return text(sum[1]) .. ':' .. text(sum[2])
end

-- What the caller needs to decide how to go on: {fields of meta as pairs, offsets as pairs, the clock, positions in the
-- publisher's log as pairs}.
local function present_state(prefix)
  return {redis.call('HGETALL', prefix .. 'meta'), redis.call('HGETALL', prefix .. 'offsets'), now_ms(),
    redis.call('HGETALL', prefix .. 'wal')}
end
