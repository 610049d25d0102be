-- Stands before every other script of this folder: names of keys, the clock, and what is true at present.
-- KEYS[1] is always the meta key of the generation that is worked on; the others share its prefix and its hash tag.

local DIMENSIONS = {'content', 'content_type', 'device'}
local MEASURES = {'count', 'ms'}

local function prefix_of(meta_key)
  return meta_key:sub(1, -5)
end

local function view_key(prefix, dimension, measure)
  return prefix .. 'view:' .. dimension .. ':' .. measure
end

local function bucket_key(prefix, bucket, dimension, measure)
  return prefix .. 'bucket:' .. bucket .. ':' .. dimension .. ':' .. measure
end

local function each_measure(visit)
  for _, dimension in ipairs(DIMENSIONS) do
    for _, measure in ipairs(MEASURES) do visit(dimension, measure) end
  end
end

local function append_bucket_keys(keys, prefix, buckets)
  each_measure(function(dimension, measure)
    for _, bucket in ipairs(buckets) do
      keys[#keys + 1] = bucket_key(prefix, bucket, dimension, measure)
    end
  end)
end

-- What readers see, and the buckets of which it consists; `buckets` lists their starts.
local function append_view_keys(keys, prefix)
  keys[#keys + 1], keys[#keys + 2] = prefix .. 'display', prefix .. 'buckets'
  each_measure(function(dimension, measure) keys[#keys + 1] = view_key(prefix, dimension, measure) end)
  append_bucket_keys(keys, prefix, redis.call('ZRANGE', prefix .. 'buckets', 0, -1))
end

-- Every key of a generation. `future` lists the starts of the buckets whose time is still to come.
local function keys_of(prefix)
  local keys = {prefix .. 'meta', prefix .. 'offsets', prefix .. 'future', prefix .. 'future-display'}
  append_view_keys(keys, prefix)
  append_bucket_keys(keys, prefix, redis.call('ZRANGE', prefix .. 'future', 0, -1))
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

-- What the caller needs to decide how to go on: {fields of meta as pairs, offsets as pairs, the clock}.
local function present_state(prefix)
  return {redis.call('HGETALL', prefix .. 'meta'), redis.call('HGETALL', prefix .. 'offsets'), now_ms()}
end
