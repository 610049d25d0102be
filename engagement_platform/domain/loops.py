"""The names of the loops, in the order in which events pass them."""

LOOPS = ("relay", "tally", "stage", "forward")
