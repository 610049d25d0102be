"""The whole system under faults at random moments, held against a checker that shares nothing with it: `make chaos`."""
