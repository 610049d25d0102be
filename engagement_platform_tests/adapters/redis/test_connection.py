"""What Redis' client makes of a URL, before it connects to anything."""

import pytest

from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.domain.errors import SettingsError
from engagement_platform.settings import Settings


def settings_of(url: str) -> Settings:
    dsn = "postgresql://127.0.0.1:1/unused"
    return Settings.of(source_dsn=dsn, platform_dsn=dsn, redis_url=url)


@pytest.mark.parametrize(
    "options",
    ["password=half&=hunter2", "password=half&hunter2=1", "hunter2=1", "db=hunter2", "max_connections=hunter2"],
)
@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "rediss://127.0.0.1:1/0", "unix:///tmp/none.sock"])
def test_an_option_that_there_is_not_is_said_without_it(url: str, options: str) -> None:
    with pytest.raises(SettingsError, match="ENGAGEMENT_REDIS_URL") as told:
        connect_redis(settings_of(f"{url}?{options}").redis)
    assert "hunter2" not in str(told.value)
    assert told.value.__suppress_context__


def test_options_that_there_are_go_to_the_client() -> None:
    client = connect_redis(settings_of("redis://127.0.0.1:1/0?db=3&client_name=me").redis)
    assert client.connection_pool.connection_kwargs["db"] == 3


@pytest.mark.parametrize("option", ["retry=3", "decode_responses=no", "protocol=3", "encoding=latin-1"])
def test_an_option_on_which_counting_rests_is_refused(option: str) -> None:
    with pytest.raises(SettingsError, match=f"option {option.split('=', maxsplit=1)[0]}, which the platform sets"):
        connect_redis(settings_of(f"redis://127.0.0.1:6379/0?{option}").redis)
