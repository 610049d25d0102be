"""What stands beside an offset, and what becomes of it when somebody else wrote it."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from kafka.structs import OffsetAndMetadata

from engagement_platform.adapters.kafka.group import Stored, _stored, note_of

AT = datetime(2026, 11, 26, 12, 30, 5, tzinfo=UTC)


@given(st.none() | st.just(AT), st.none() | st.integers(0, 20), st.sampled_from(["", "1.2:3,4;5.6:7"]))
def test_what_is_written_is_read(settled_to: datetime | None, credit: int | None, tried: str) -> None:
    stored = _stored(OffsetAndMetadata(7, note_of("uuid", settled_to, credit, tried), -1))
    assert stored == Stored(7, "uuid", "2026-11-26T12:30:05" if settled_to else "", credit, tried)


def test_what_an_older_version_wrote_is_read() -> None:
    assert _stored(OffsetAndMetadata(7, "uuid 2026-11-26T12:30:05", -1)) == Stored(7, "uuid", "2026-11-26T12:30:05")


@given(st.none() | st.text())
def test_what_somebody_else_wrote_breaks_nothing(note: str | None) -> None:
    stored = _stored(OffsetAndMetadata(7, note, -1))
    assert stored.offset == 7
    assert stored.credit is None or 0 <= stored.credit < 10**9
