"""The oracle of the SQL enrichment: the same values by exact decimal arithmetic."""

from decimal import ROUND_HALF_UP, Decimal

_CENT = Decimal("0.01")


def engagement_seconds(duration_ms: int | None) -> Decimal | None:
    """Return the engagement in seconds."""
    if duration_ms is None:
        return None
    return (Decimal(duration_ms) / 1000).quantize(_CENT, ROUND_HALF_UP)


def engagement_pct(duration_ms: int | None, length_seconds: int | None) -> Decimal | None:
    """Return the share of the content that was consumed, as a ratio."""
    if duration_ms is None or not length_seconds:
        return None
    return (Decimal(duration_ms) / (1000 * Decimal(length_seconds))).quantize(_CENT, ROUND_HALF_UP)
