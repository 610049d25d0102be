"""What comes again is left out, and nothing else: a model of a log, its reader's crashes and a consumer's restarts."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.duplicates import (
    WalPosition,
    from_text,
    is_duplicate,
    position_of,
    to_text,
    without_duplicates,
)

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Message:
    """A message as Debezium publishes it."""

    number: int
    headers: Headers


@dataclass(frozen=True)
class Change:
    """What the log has of one event."""

    number: int
    xid: int
    previous_commit: int | None
    """The commit before that of its transaction."""
    lsn: int
    committed_at: int

    def told(self, db: str = "media", **other: Any) -> Message:
        """Return its message, with something else than what is usually told."""
        told = {**vars(self), "db": db, **other}
        sequence = [None if told["previous_commit"] is None else str(told["previous_commit"]), str(told["lsn"])]
        source = {"name": "outbox", "db": told["db"], "txId": told["xid"], "ts_us": told["committed_at"]}
        header = json.dumps({**source, "sequence": json.dumps(sequence)}).encode()
        return Message(self.number, (("id", b"7"), ("source", header)))


Log = list[Change]


@st.composite
def logs(draw: st.DrawFn, *, has_clock: bool = True, first: int = 0) -> Log:
    """Return changes in the order of their commits, of transactions that write beside each other.

    Where it has no clock, the times of the commits say nothing of their order.
    """
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    steps = draw(st.permutations([number for number, size in enumerate(sizes) for _ in range(size + 1)]))
    written: dict[int, list[int]] = {number: [] for number in range(len(sizes))}
    log: Log = []
    before: int | None = None
    for at, number in enumerate(steps, 1):
        if len(written[number]) < sizes[number]:
            written[number].append(at * 8)
            continue
        time = at if has_clock else draw(st.integers(1, 5))
        log += [Change(first + len(log) + n, number + 1, before, w, time) for n, w in enumerate(written[number])]
        before = (at + 1) * 8  # the end of a commit's record is where the next one begins
    return log


@st.composite
def runs(draw: st.DrawFn, log: Log, *, from_slot: bool = False) -> list[Log]:
    """Return what each run of a publisher publishes: one that begins again repeats some of those before.

    One without stored offsets begins where its slot stands, which never goes back.
    """
    published: list[Log] = []
    begin = end = 0
    while end < len(log):
        begin = draw(st.integers(begin if from_slot else 0, end))
        end = draw(st.integers(max(end, begin + 1), len(log)))
        published.append(log[begin:end])
    return published


def kept(messages: list[Message], restarts: frozenset[int] = frozenset()) -> list[int]:
    """Return the numbers of the messages that are not left out; the consumer begins anew behind some of them."""
    chosen: list[Message] = []
    latest: WalPosition | None = None
    for at, message in enumerate(messages):
        if at in restarts and latest is not None:
            latest = from_text(to_text(latest))
        new, latest = without_duplicates([message], latest)
        chosen += new
    return [message.number for message in chosen]


@given(data=st.data(), has_clock=st.booleans())
def test_each_is_kept_once_however_often_its_publisher_begins_again(data: st.DataObject, has_clock: bool) -> None:
    log = data.draw(logs(has_clock=has_clock))
    published = [change.told() for run in data.draw(runs(log)) for change in run]
    restarts = data.draw(st.frozensets(st.integers(0, len(published))), "the consumer begins anew at")
    assert kept(published, restarts) == [change.number for change in log]


@given(data=st.data())
def test_a_publisher_that_noted_no_commit_but_a_place_in_its_first_transaction_takes_that_for_one(
    data: st.DataObject,
) -> None:
    log = data.draw(logs())
    published: list[Message] = []
    for run in data.draw(runs(log)):
        first = [change for change in run if change.xid == log[0].xid]
        is_within = run[0] != log[0]
        published += [change.told(previous_commit=run[0].lsn if is_within else None) for change in first]
        published += [change.told() for change in run[len(first) :]]
    assert kept(published) == [change.number for change in log]


@given(data=st.data())
def test_a_publisher_that_is_made_anew_knows_no_commit(data: st.DataObject) -> None:
    log = data.draw(logs())
    published: list[Message] = []
    for run in data.draw(runs(log, from_slot=True)):
        first = [change for change in run if change.xid == run[0].xid]
        published += [change.told(previous_commit=None) for change in first]
        published += [change.told() for change in run[len(first) :]]
    assert kept(published) == [change.number for change in log]


def test_a_long_transaction_that_a_publisher_which_is_made_anew_tells_first_is_new() -> None:
    long, short = Change(0, 1, 16, 8, 40), Change(1, 2, 16, 24, 30)
    assert kept([short.told(), long.told(previous_commit=None)]) == [1, 0]


@given(before=logs(), after=logs(first=100))
def test_a_database_that_was_put_back_writes_new_changes_at_earlier_places(before: Log, after: Log) -> None:
    later = [change.told(committed_at=1_000 + change.committed_at) for change in after]
    assert kept([*(change.told() for change in before), *later]) == [one.number for one in (*before, *after)]


@given(one=logs(), other=logs(first=100), data=st.data())
def test_the_logs_of_two_databases_are_not_compared(one: Log, other: Log, data: st.DataObject) -> None:
    both = data.draw(st.permutations([*([one] * len(one)), *([other] * len(other))]))
    rest = {id(one): iter(one), id(other): iter(other)}
    messages = [next(rest[id(log)]).told("media" if log is one else "shop") for log in both]
    assert kept(messages) == [message.number for message in messages]


GOOD = {"name": "outbox", "db": "media", "txId": 7, "ts_us": 7, "sequence": '["1", "2"]'}


@pytest.mark.parametrize(
    "source",
    [
        b"relay",
        b"\xff",
        b"{}",
        *(json.dumps({**GOOD, name: None}).encode() for name in GOOD),
        *(json.dumps({**GOOD, "sequence": wrong}).encode() for wrong in ("[1]", '[null, "x"]', '["1"]', '["1", null]')),
    ],
)
def test_a_message_that_does_not_say_where_it_stands_is_never_left_out(source: bytes) -> None:
    message = Message(0, (("source", source),))
    assert position_of(message.headers) is None
    latest = WalPosition(0, 7, 1 << 40, 1 << 40, 1 << 60)
    assert without_duplicates([message], latest) == ([message], latest)


def test_the_relays_headers_say_nothing_of_it() -> None:
    assert position_of((("schema-version", b"1"), ("unseen-at", b"7"))) is None
    assert position_of(()) is None


def test_before_the_first_commit_there_is_none() -> None:
    position = position_of(Change(0, 5, None, 24, 7).told().headers)
    assert position is not None
    assert position[1:] == (5, 0, 24, 7)


@given(st.tuples(*[st.integers(0, 1 << 63)] * 5).map(lambda parts: WalPosition(*parts)))
def test_a_position_is_itself_again_as_text_and_comes_again_behind_itself(position: WalPosition) -> None:
    assert from_text(to_text(position)) == position
    assert is_duplicate(position, position)
    assert not is_duplicate(position._replace(committed_at=position.committed_at + 1), position)


@pytest.mark.parametrize("text", ["", "1 2 3 4", "1 2 3 4 x"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_text(text)


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert from_text("1 2 3 4 5 6") == WalPosition(1, 2, 3, 4, 5)
