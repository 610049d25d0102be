"""The JSON Schema of a stream's messages."""

from collections.abc import Mapping
from typing import Any

from engagement_platform.domain.columns import Base, Column, Schema, Type
from engagement_platform.domain.event_stream import EventStream

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NOT_FINITE = {"enum": ["NaN", "Infinity", "-Infinity"]}
_FORMS: Mapping[Base, dict[str, Any]] = {
    Base.INTEGER: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    Base.BOOLEAN: {"type": "boolean"},
    Base.TEXT: {"type": "string"},
    Base.CHAR: {"type": "string"},
    Base.UUID: {"type": "string", "format": "uuid"},
    Base.DATE: {"type": "string", "format": "date"},
    Base.TIMESTAMP: {"type": "string", "format": "date-time"},
    Base.BYTES: {"type": "string", "pattern": "^\\\\x([0-9a-f]{2})*$"},
}


def json_schema_of(stream: EventStream, schema: Schema) -> dict[str, Any]:
    """Return the JSON Schema of a stream's messages of a schema. A reader must take fields that are not in it."""
    return {
        "$schema": DIALECT,
        "title": stream.name,
        "type": "object",
        "properties": {
            column.name: _property(schema, column) | _described(stream.meanings.get(column.name))
            for column in schema.columns
        },
        "required": list(schema.names),
        "additionalProperties": True,
    }


def _described(meaning: str | None) -> dict[str, Any]:
    return {"description": meaning} if meaning else {}


def _property(schema: Schema, column: Column) -> dict[str, Any]:
    form = _form(column.type)
    return form if schema.is_required(column) or not form else {"anyOf": [form, {"type": "null"}]}


def _form(of: Type) -> dict[str, Any]:
    match of.base:
        case Base.NUMERIC:
            return {"type": "number"}
        case Base.FLOAT:
            return {"anyOf": [{"type": "number"}, _NOT_FINITE]}
        case Base.JSON | Base.JSONB:
            return {}
        case Base.ARRAY:
            return {"type": "array"}
        case _:
            return _FORMS[of.base]
