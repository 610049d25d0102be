"""Whose events are erased: the value of a stream's `user` column, of whatever type that is."""

import re
from uuid import UUID

from engagement_platform.domain.columns import Base, Column, Schema
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.event_stream import EventStream

_TEXTS = (Base.TEXT, Base.CHAR)
_HIGHEST = 2**63 - 1


def user_column(stream: EventStream, schema: Schema) -> Column:
    """Return the column that names a person. Raises EngagementError where there is none that can."""
    if stream.user is None:
        raise EngagementError(
            f"The stream {stream.name} has no column that names a person.",
            "Name one in its stream.toml: user, below [warehouse].",
        )
    if stream.user not in schema.names:
        raise EngagementError(
            f"The stream {stream.name} has no column {stream.user}, which its stream.toml says names a person.",
            "Select it in enriched.sql, or name another one: user, below [warehouse].",
        )
    column = schema.column(stream.user)
    if column.type.base not in (Base.UUID, Base.INTEGER, *_TEXTS):
        raise EngagementError(
            f"The column {column.name} of the stream {stream.name}, which names a person, is {column.type}.",
            f"It must be a uuid, a whole number or a text: write {column.name}::text AS {column.name} in enriched.sql.",
        )
    return column


def user_value(column: Column, text: str) -> str | int:
    """Return a user's id as the warehouse has it. Raises EngagementError for what cannot be one."""
    try:
        match column.type.base:
            case Base.UUID:
                return str(UUID(text))
            case Base.INTEGER:
                return _whole(text)
            case _:
                return text.rstrip(" ") if column.type.base is Base.CHAR else text
    except ValueError:
        raise EngagementError(
            f"{text!r} is no user's id: the column {column.name} holds {column.type} values.",
            "Give the id as the source has it.",
        ) from None


def _whole(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text) or not -_HIGHEST - 1 <= int(text) <= _HIGHEST:
        raise ValueError
    return int(text)
