"""How what stands beside an offset ends, so that each client reads what the other wrote.

librdkafka ends a note with a zero byte, and reads one that has none beyond its end: into whatever lies there in memory.
"""

_END = "\n"
_ZERO = "\0"


def ended(note: str) -> str:
    """Return a note as librdkafka is given it, which adds the zero byte."""
    return note + _END


def ended_by_zero(note: str) -> str:
    """Return a note as it is written without librdkafka."""
    return ended(note) + _ZERO


def whole(stored: str) -> str:
    """Return a note that was read up to its end and not beyond."""
    return stored.partition(_END)[0].partition(_ZERO)[0]


def safe(stored: str) -> str:
    """Return what is certain of a note that may have been read beyond its end: not the last word of an older one."""
    return whole(stored) if _END in stored else stored.rpartition(" ")[0]
