-- ranking: the members with the highest sums of a measure, what to show for each, and how fresh they are: one moment.
-- KEYS[1] meta of the live generation
-- ARGV[1] dimension, ARGV[2] measure, ARGV[3] how many members
-- Returns {as_of, window_start, window_ms, lag, generation}, the clock, 1 where the generation counts that or else 0,
-- {member, score, ...} with the highest first, and for each member what to show, or false.
local prefix, dimension, measure = prefix_of(KEYS[1]), ARGV[1], ARGV[2]
local counted, is_counted = counted_in(prefix), 0
each_measure(counted, function(one, other) if one == dimension and other == measure then is_counted = 1 end end)

local meta = redis.call('HMGET', KEYS[1], 'as_of', 'window_start', 'window_ms', 'lag', 'generation')
local best, shown = {}, {}
if is_counted == 1 then best = redis.call('ZREVRANGE', view_key(prefix, dimension, measure), 0, ARGV[3] - 1, 'WITHSCORES') end
local display = counted.displays[dimension]
if display and #best > 0 then
  local members = {}
  for i = 1, #best, 2 do members[#members + 1] = best[i] end
  shown = redis.call('HMGET', prefix .. display, unpack(members))
end
return {meta, now_ms(), is_counted, best, shown}
