"""Schemas in the checkpoint: what is kept comes back, and stays small."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain import checkpoint as checkpoints
from engagement_platform.domain.checkpoint import Checkpoint, MessageSchema, SourceIdentity
from engagement_platform.domain.columns import Column, Schema, parsed
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.ledger import Ledger
from engagement_platform.domain.schema_history import NOTHING_KEPT, KeptSchemas, keep, kept

TYPES = ("integer", "text", "timestamp", "numeric(18,2)", "array of numeric(38,9)", "jsonb", "char")
ROLES = (Column("id", parsed("integer")), Column("at", parsed("timestamp")), Column("who", parsed("uuid")))
columns = st.builds(Column, st.text(min_size=1, max_size=8), st.sampled_from(TYPES).map(parsed))


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    more = draw(st.lists(columns, max_size=8, unique_by=lambda column: column.name))
    named = [column for column in more if column.name not in {"id", "at", "who"}]
    return Schema(
        tuple(draw(st.permutations([*ROLES, *named]))), id="id", time="at", key=draw(st.sampled_from(["who", "id"]))
    )


def checkpoint_of(messages: MessageSchema) -> Checkpoint:
    return checkpoints.of(Ledger(7), SourceIdentity("1", 1, "shop"), 0, schema=messages)


numbered = st.dictionaries(st.integers(1, 10_000), schemas(), max_size=6)


@given(numbered)
def test_what_is_kept_comes_back_over_the_checkpoint(of: dict[int, Schema]) -> None:
    checkpoint = checkpoint_of(MessageSchema(history=keep(of)))
    again = checkpoints.from_bytes(checkpoints.to_bytes(checkpoint))
    assert again == checkpoint
    assert checkpoints.schemas_of(checkpoints.messages_of(again)) == of


@given(numbered)
def test_the_same_schemas_are_kept_in_the_same_form(of: dict[int, Schema]) -> None:
    assert keep(dict(reversed(of.items()))) == keep(of)


def test_a_column_a_deploy_for_years_stays_small() -> None:
    """A thousand schemas, each with one more column than the one before."""
    extra = [Column(f"a_column_with_a_name_{number}", parsed("text")) for number in range(1_000)]
    of = {number + 1: Schema((*ROLES, *extra[:number]), "id", "at", "who") for number in range(1_000)}
    assert len(msgspec.json.encode(keep(of))) < 70_000
    assert len(msgspec.json.encode(keep(dict.fromkeys(range(1, 1001), of[1])))) < 30_000


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("a type of a later version", KeptSchemas((("id", "interval"),), ((1, 0, 0, 0, 0, 0),))),
        ("a column that is not there", KeptSchemas((("id", "integer"),), ((1, 0, 0, 0, 0, 1),))),
        ("cut off", KeptSchemas((("id", "integer"),), ((1, 0, 0),))),
        ("half a run", KeptSchemas((("id", "integer"),), ((1, 0, 0, 0, 0),))),
    ],
)
def test_what_a_later_version_wrote_stops_who_needs_it_and_nobody_else(kind: str, wrong: KeptSchemas) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        kept(wrong)
    written = checkpoints.to_bytes(checkpoint_of(MessageSchema(1, "hash", 1, wrong)))
    read = checkpoints.from_bytes(written)
    assert read.hi == 7
    with pytest.raises(StreamStopped, match="a schema that this version does not know"):
        checkpoints.schemas_of(checkpoints.messages_of(read))


def test_a_checkpoint_of_an_older_version_keeps_none_and_an_older_version_passes_over_them() -> None:
    written = json.loads(checkpoints.to_bytes(checkpoint_of(MessageSchema(1, "hash", 1, keep({})))))
    del written["schema_history"]
    assert checkpoints.from_bytes(json.dumps(written).encode()).schema_history == NOTHING_KEPT

    class Older(msgspec.Struct):
        hi: int
        schema: int

    now = checkpoints.to_bytes(checkpoint_of(MessageSchema(3, "hash", 3, keep({3: Schema(ROLES, "id", "at", "who")}))))
    assert msgspec.json.decode(now, type=Older) == Older(7, 3)


def test_of_two_checkpoints_the_first_says_what_messages_have_and_both_which_numbers_there_are() -> None:
    first, second = (Schema((*ROLES, Column(name, parsed("text"))), "id", "at", "who") for name in "ab")
    told = [
        checkpoint_of(MessageSchema(1, "one", 1, keep({1: first}))),
        checkpoint_of(MessageSchema(2, "two", 2, keep({1: second, 2: second}))),
    ]
    joined = checkpoints.joined_messages(told)
    assert joined[:3] == (1, "one", 2)
    assert checkpoints.schemas_of(joined) == {1: first, 2: second}
    assert checkpoints.joined_messages([]) == MessageSchema()
