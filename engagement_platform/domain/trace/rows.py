"""Compares the row of an event as it is now with the message that was made of it."""

from collections.abc import Mapping

import msgspec

from engagement_platform.domain.nesting import decoded

_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def differing(row: bytes, message: bytes) -> tuple[str, ...]:
    """Return the columns whose value differs, of those that both have; none where one of them cannot be read."""
    try:
        now, then = _columns(row), _columns(message)
    except (msgspec.MsgspecError, ValueError):
        return ()
    return tuple(name for name in now if name in then and now[name] != then[name])


def _columns(value: bytes) -> Mapping[str, bytes]:
    parts, aside = decoded(_parts, value)
    return {name: bytes(raw) for name, raw in parts.items()} | {name: bytes(raw) for name, raw in aside.items()}
