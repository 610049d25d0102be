"""Which errors Dagster may try again."""

import dagster as dg
import pytest

from engagement_platform.adapters.warehouse.port import LoadFailed
from engagement_platform.domain.errors import EngagementError, Refused, Unavailable
from engagement_platform.orchestration.failures import explained


@pytest.mark.parametrize("error", [Unavailable("The server is away."), LoadFailed("Job 1 failed (backendError).")])
def test_what_may_succeed_another_time_is_left_to_the_retry_policy(error: Exception) -> None:
    with pytest.raises(type(error)), explained("engagement"):
        raise error


@pytest.mark.parametrize(
    "error", [EngagementError("The table was altered."), LoadFailed("Job 1 failed (invalid).", rows=("line 1: id",))]
)
def test_what_a_person_has_to_put_right_is_not_tried_again(error: Exception) -> None:
    with pytest.raises(dg.Failure) as raised, explained("engagement"):
        raise error
    assert not raised.value.allow_retries
    assert str(error) in str(raised.value.description)


def test_a_drain_that_is_refused_is_not_started_again_and_again() -> None:
    refused = Refused("Redis refuses the login.", "Put it right.", server="Redis")
    with pytest.raises(Refused), explained("engagement"):
        raise refused
    with (
        pytest.raises(dg.Failure, match="refuses the login") as raised,
        explained("engagement", gives_up_when_refused=True),
    ):
        raise refused
    assert not raised.value.allow_retries
    with pytest.raises(Unavailable), explained("engagement", gives_up_when_refused=True):
        raise Unavailable("Redis does not answer.")
