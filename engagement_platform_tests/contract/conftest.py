"""Each test of this folder runs for the packaged stream and for `orders`, on the real servers; some for all streams."""

import shutil
from collections.abc import Iterator

import psycopg
import pytest

from engagement_platform.local.stack import Endpoints
from engagement_platform_tests.conftest import SourceDatabase, make_settings
from engagement_platform_tests.contract.streams import CASES, Under
from engagement_platform_tests.streams import known


@pytest.fixture(params=["engagement", "orders"])
def under(
    request: pytest.FixtureRequest, stack: Endpoints, source_db: SourceDatabase, platform_db: str
) -> Iterator[Under]:
    case = CASES[request.param]
    settings = make_settings(stack, source_db.dsn, platform_db, stream=case.stream.name)
    with (
        psycopg.connect(source_db.writer_dsn, autocommit=True, options="-c timezone=UTC") as owner,
        known(*(one.stream for one in CASES.values())),
    ):
        if case.make:
            owner.execute(case.make.encode())
        yield Under(case, settings, owner, source_db.writer_dsn)
    shutil.rmtree(settings.state_dir, ignore_errors=True)
