"""The one SQL text of the enrichment, held against exact decimal arithmetic."""

from decimal import Decimal

import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.enrichment import engagement_pct, engagement_seconds
from engagement_platform_tests.streams import PACKAGED

INT4 = st.integers(-(2**31), 2**31 - 1)
# Halves, where rounding goes wrong first, and their neighbours.
halves = st.builds(lambda cents, off: cents * 10 + 5 + off, st.integers(-10_000, 10_000), st.integers(-1, 1))
durations = st.none() | INT4 | halves
lengths = st.none() | INT4 | st.sampled_from([0, 1, 2, 3, 7, 8, 200, 240, -1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(durations, lengths), min_size=1, max_size=200))
def test_seconds_and_share_are_those_of_the_oracle(stack: Endpoints, rows: list[tuple[int | None, int | None]]) -> None:
    with psycopg.connect(stack.admin_dsn) as connection:
        connection.execute(
            "CREATE TEMP TABLE content (id int, slug text, title text, content_type text, length_seconds int)"
        )
        connection.execute(
            "CREATE TEMP TABLE engagement_events (id int, content_id int, user_id int, event_type text, "
            "event_ts timestamptz, duration_ms int, device text, raw_payload jsonb)"
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO content (id, length_seconds) VALUES (%s, %s)",
                [(number, length) for number, (_, length) in enumerate(rows)],
            )
            cursor.executemany(
                "INSERT INTO engagement_events (id, content_id, duration_ms) VALUES (%s, %s, %s)",
                [(number, number, duration) for number, (duration, _) in enumerate(rows)],
            )
        found = connection.execute(
            f"SELECT engagement_seconds, engagement_pct FROM ({PACKAGED.enriched}) AS enriched ORDER BY id".encode()
        ).fetchall()
        connection.rollback()
    wanted = [(engagement_seconds(duration), engagement_pct(duration, length)) for duration, length in rows]
    assert found == wanted


def test_halves_are_rounded_away_from_zero() -> None:
    assert engagement_seconds(1_005) == Decimal("1.01")
    assert engagement_seconds(-1_005) == Decimal("-1.01")
    assert engagement_pct(60_000, 240) == Decimal("0.25")
    assert engagement_pct(5_000, 0) is None
