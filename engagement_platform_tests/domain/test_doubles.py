"""What comes again is left out, and nothing else: a model of a log, its reader's crashes and a consumer's restarts."""

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.doubles import LogPosition, fresh, from_text, is_double, position_of, to_text

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Message:
    """A message as Debezium publishes it."""

    number: int
    headers: Headers


def header(committed: int | None, written: int) -> tuple[str, bytes]:
    sequence = json.dumps([None if committed is None else str(committed), str(written)])
    return "source", json.dumps({"connector": "postgresql", "sequence": sequence, "lsn": written}).encode()


def unseen(moment: int) -> tuple[str, bytes]:
    return "unseen-at", str(moment).encode()


def kept(messages: list[Message], restarts: frozenset[int] = frozenset()) -> list[int]:
    """Return the numbers of the messages that are not left out; the consumer begins anew behind some of them."""
    chosen: list[Message] = []
    latest: LogPosition | None = None
    for at, message in enumerate(messages):
        if at in restarts and latest is not None:
            latest = from_text(to_text(latest))
        new, latest = fresh([message], latest)
        chosen += new
    return [message.number for message in chosen]


@dataclass(frozen=True)
class Transaction:
    """What one transaction has in the log."""

    before: int | None
    """The commit before its own."""
    commit: int
    changes: tuple[int, ...]

    def messages(self, committed: int | None, first: int) -> list[Message]:
        """Return its messages, told behind a commit."""
        begun = unseen(self.changes[0])
        return [Message(at, (header(committed, one), begun)) for at, one in enumerate(self.changes, first)]


@st.composite
def transactions(draw: st.DrawFn) -> list[Transaction]:
    """Return transactions that write beside each other, in the order of their commits."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    steps = draw(st.permutations([number for number, size in enumerate(sizes) for _ in range(size + 1)]))
    changes: dict[int, list[int]] = {number: [] for number in range(len(sizes))}
    committed: list[Transaction] = []
    for at, number in enumerate(steps, 1):
        if len(changes[number]) < sizes[number]:
            changes[number].append(at * 8)
        else:
            before = committed[-1].commit if committed else None
            committed.append(Transaction(before, at * 8, tuple(changes[number])))
    return committed


def messages_of(log: list[Transaction]) -> list[Message]:
    messages: list[Message] = []
    for one in log:
        messages += one.messages(one.before, len(messages))
    return messages


logs = transactions().map(messages_of)


@given(messages=logs, data=st.data())
def test_each_change_is_kept_once_however_often_its_reader_begins_again(
    messages: list[Message], data: st.DataObject
) -> None:
    published: list[Message] = []
    sent = 0
    while sent < len(messages):
        begin = data.draw(st.integers(0, sent), "begins again behind")
        sent = data.draw(st.integers(max(sent, begin + 1), len(messages)), "ends behind")
        published += messages[begin:sent]
    restarts = data.draw(st.frozensets(st.integers(0, len(published))), "the consumer begins anew at")
    assert kept(published, restarts) == list(range(len(messages)))


@given(log=transactions(), data=st.data())
def test_nothing_new_is_left_out_behind_whatever_commit_it_is_told(log: list[Transaction], data: st.DataObject) -> None:
    """A reader that begins again may know a commit between, as that of a transaction which it does not publish."""
    messages: list[Message] = []
    for one in log:
        messages += one.messages(data.draw(st.integers(one.before or 0, one.commit - 1)), len(messages))
    assert kept(messages) == list(range(len(messages)))


@given(before=logs, after=logs)
def test_a_database_that_was_put_back_writes_new_changes_at_earlier_positions(
    before: list[Message], after: list[Message]
) -> None:
    later = [Message(100 + one.number, (one.headers[0], unseen(1_000_000 + int(one.headers[1][1])))) for one in after]
    assert kept([*before, *later]) == [one.number for one in (*before, *later)]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (unseen(7), ("schema-version", b"1")),
        (header(1, 2),),
        (("source", b"relay"), unseen(7)),
        (("source", b'{"sequence": null}'), unseen(7)),
        (("source", b'{"sequence": "[1]"}'), unseen(7)),
        (("source", b'{"sequence": "[null, \\"x\\"]"}'), unseen(7)),
        (header(1, 2), ("unseen-at", b"soon")),
    ],
)
def test_a_message_that_does_not_say_where_it_stands_is_never_left_out(headers: Headers) -> None:
    assert position_of(headers) is None
    latest = LogPosition(1 << 40, 1 << 40, 1 << 60)
    assert fresh([Message(0, headers)], latest) == ([Message(0, headers)], latest)


def test_before_the_first_commit_there_is_none() -> None:
    assert position_of((header(None, 24), unseen(7))) == LogPosition(0, 24, 7)


@given(st.tuples(*[st.integers(0, 1 << 63)] * 3).map(lambda parts: LogPosition(*parts)))
def test_a_position_is_itself_again_as_text_and_comes_again_behind_itself(position: LogPosition) -> None:
    assert from_text(to_text(position)) == position
    assert is_double(position, position)
    assert not is_double(position._replace(unseen_at=position.unseen_at + 1), position)
