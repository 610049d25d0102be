import pytest

from engagement_platform.adapters.sqlstate import Meaning, meaning_of_connecting
from engagement_platform.local.stack import Endpoints


@pytest.mark.parametrize(
    "said",
    [
        "the database system is starting up",
        "the database system is not yet accepting connections DETAIL: Consistent recovery state has not been reached.",
        "the database system is not accepting connections DETAIL: Hot standby mode is disabled.",
        'database "platform" is not currently accepting connections',
        "the database system is shutting down",
        "the database system is in recovery mode",
    ],
)
def test_a_server_between_start_and_end_refuses_nobody_although_it_answers_by_now(stack: Endpoints, said: str) -> None:
    assert meaning_of_connecting(stack.source_dsn, f"connection failed: FATAL:  {said}") is Meaning.AWAY
    assert meaning_of_connecting(stack.source_dsn, "connection failed: FATAL:  no") is Meaning.REFUSED
