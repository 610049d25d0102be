-- state: read what a generation is, up to which offsets it counted, and the clock.
-- KEYS[1] meta of the generation
return present_state(prefix_of(KEYS[1]))
