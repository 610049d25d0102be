"""What is wrong with all streams that were read."""

import pytest

from engagement_platform.adapters.platform.connection import NoTable
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.pauses import Pauses
from engagement_platform.dead_letters.redrive import redrive
from engagement_platform.domain.conditions import Kind
from engagement_platform.domain.dead_letters import Chosen
from engagement_platform.domain.errors import Refused, SettingsError, Unavailable
from engagement_platform.health.conditions import conditions_of
from engagement_platform.health.letters import LetterWatch
from engagement_platform.health.read import overview_of
from engagement_platform.settings import Settings
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.dead_letters.support import bury, letter


def test_a_database_that_is_away_is_said_once_and_a_broken_folder_by_its_stream() -> None:
    away = Unavailable("The platform database does not answer.")
    streams = {"engagement": away, "orders": away, "clicks": SettingsError("stream.toml has a fault.", "Mend it.")}
    found = conditions_of(streams, 7.0)
    assert [(one.kind, one.stream, one.what) for one in found] == [
        (Kind.UNREADABLE, "", "The platform database does not answer."),
        (Kind.UNREADABLE, "clicks", "stream.toml has a fault."),
    ]


def test_what_one_stream_is_refused_or_lacks_is_said_of_that_stream() -> None:
    refused = Refused("The platform database refuses a right in the schema engagement_platform_orders.", "GRANT it.")
    streams = {"engagement": NoTable("There is no table."), "orders": refused, "clicks": Refused("A password.")}
    found = conditions_of(streams, 7.0)
    assert [(one.stream, one.what) for one in found] == [(name, error.what) for name, error in streams.items()]
    assert found[1].todo == "GRANT it."


def test_conditions_are_read_from_the_platform_database_and_their_commands_name_the_stream(settings: Settings) -> None:
    orders = settings.replace(stream="orders")
    overview = overview_of({"engagement": settings, "orders": orders})
    assert {one.stream for one in conditions_of(overview.streams, 0.0)} == {"engagement", "orders"}
    with Leases.opened(orders, "test") as leases, Pauses.opened(orders, "test") as pauses:
        for loop in NAMES:
            awaits = leases.register("abc", loop)
        leases.claim("abc", awaits, 60, NAMES)
        pauses.pause("stage", "me", "")
    (status,) = (status for name, status in overview_of({"orders": orders}).streams.items())
    assert not isinstance(status, Exception)
    (paused,) = (one for one in status.conditions if one.kind is Kind.LOOP_PAUSED)
    assert paused.todo.endswith("engagement-platform resume --stream orders stage")


def test_letters_are_read_again_only_where_something_has_changed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = LetterWatch(settings)
    assert isinstance(watch.counts(), str), "there is no topic yet"
    bury(settings, [letter(1), letter(2)])
    first = watch.counts()
    assert not isinstance(first, str)
    assert [one.number for one in first.open] == [2]
    assert watch.counts() is first
    redrive(settings.replace(api_url=settings.redis.url), Chosen(event_ids=[2]), "", "")
    bury(settings, [letter(3, "relay")])
    after = watch.counts()
    assert not isinstance(after, str)
    assert {one.source: one.number for one in after.open} == {"forward": 1, "relay": 1}
