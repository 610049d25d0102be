"""How long clients wait for Kafka, whichever they are."""

MAX_BLOCK_MS = 10_000
"""For an answer."""
BOOTSTRAP_MS = 5_000
"""For the first connection."""
