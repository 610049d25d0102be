"""What the storage below a Delta table says, as errors of the platform."""

import pytest

from engagement_platform.adapters.warehouse.delta.failures import explained
from engagement_platform.domain.errors import Unavailable


@pytest.mark.parametrize(
    ("raised", "server"),
    [
        (OSError("Generic S3 error: error sending request for url"), "the warehouse"),
        (TimeoutError("timed out"), "the warehouse"),
        (OSError("No space left on device (os error 28)"), ""),
    ],
)
def test_a_storage_that_does_not_answer_is_the_server_that_is_waited_for_and_a_full_one_is_not(
    raised: OSError, server: str
) -> None:
    with pytest.raises(Unavailable) as told, explained("s3://bucket/table", "a load"):
        raise raised
    assert told.value.server == server
    assert "s3://bucket/table" in told.value.what
