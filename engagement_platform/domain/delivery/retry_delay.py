"""How long to wait before a request is made again."""

FIRST_SECONDS = 0.25
MAX_RETRY_SECONDS = 30.0
MAX_RETRY_AFTER_SECONDS = 300.0
"""Cap on Retry-After: a partner that asks for more is asked again after this time."""


def pause(tries: int, retry_after: float | None, jitter: float) -> float:
    """Return the seconds to wait after so many failed tries, at least one.

    As long as the partner asked for, and up to a tenth longer; else twice as long each time, less up to a half.
    `jitter`, from 0 to below 1, keeps requests that failed together from coming back together.
    """
    if retry_after:
        return min(retry_after, MAX_RETRY_AFTER_SECONDS) * (1 + jitter / 10)
    longest = min(MAX_RETRY_SECONDS, FIRST_SECONDS * 2.0 ** min(tries - 1, 20))
    return longest * (1 - jitter / 2)
