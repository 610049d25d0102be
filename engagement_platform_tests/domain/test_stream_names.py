"""A command that a person copies acts on the stream that its text is about."""

import threading
from contextvars import copy_context

import click
import pytest

from engagement_platform.cli import COMMANDS, group
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.stream_names import GROUPS, OF_NO_STREAM, PACKAGED, about, aimed, own_name, turn

TEXTS = {
    "Go on with: engagement-platform checkpoint reset --at latest": "checkpoint reset --stream orders --at latest",
    "engagement-platform doctor names what is missing": "doctor --stream orders names what is missing",
    "load the days with `engagement-platform backfill`.": "`engagement-platform backfill --stream orders`.",
    "engagement-platform warehouse give-up abc": "engagement-platform warehouse give-up --stream orders abc",
    "engagement-platform views rebuild.": "engagement-platform views rebuild --stream orders.",
    "engagement-platform erase-user": "engagement-platform erase-user --stream orders",
    "engagement-platform doctor, then engagement-platform dead-letters redrive": (
        "engagement-platform doctor --stream orders, then engagement-platform dead-letters redrive --stream orders"
    ),
    "engagement-platform reset, `engagement-platform up`": "engagement-platform reset, `engagement-platform up`",
    "Run engagement-platform.": "Run engagement-platform.",
}


@pytest.mark.parametrize(("text", "part"), TEXTS.items())
def test_commands_name_the_stream(text: str, part: str) -> None:
    assert aimed(text) == text, "commands are for the packaged stream when they name none"
    with about("orders", {}):
        assert part in aimed(text)
        assert aimed(aimed(text)) == aimed(text)
    with about(PACKAGED, {}):
        assert aimed(text) == text


def test_an_error_names_it_also_where_it_is_made_in_a_thread() -> None:
    made: list[EngagementError] = []

    def work() -> None:
        made.append(EngagementError("It broke.", "Mend it: engagement-platform checkpoint restore"))

    with about("orders", {}):
        thread = threading.Thread(target=copy_context().run, args=(work,))
        thread.start()
        thread.join()
    work()
    assert [error.todo for error in made] == [
        "Mend it: engagement-platform checkpoint restore --stream orders",
        "Mend it: engagement-platform checkpoint restore",
    ]


def test_every_command_that_is_aimed_takes_the_option_and_no_other_is() -> None:
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        assert isinstance(command, click.Group) == (name in {*GROUPS, "stream"})
        for inner in command.commands.values() if isinstance(command, click.Group) else [command]:
            takes = any("--stream" in parameter.opts for parameter in inner.params)
            assert takes == (name not in OF_NO_STREAM), f"{name} {inner.name}"


def test_the_packaged_stream_has_bare_names_and_the_first_minute() -> None:
    assert (own_name(PACKAGED, "settle_day"), own_name("orders", "settle_day")) == ("settle_day", "orders_settle_day")
    assert turn(PACKAGED, 5) == 0
    assert {turn(f"stream_{n}", 5) for n in range(100)} == {1, 2, 3, 4}
