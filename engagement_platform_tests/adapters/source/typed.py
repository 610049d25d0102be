"""A stream over a table with a column of each type that is carried, and the values at its edges."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from engagement_platform.domain.columns import Type, parsed
from engagement_platform.domain.event_stream import Dimension, EventStream, Measure, Views
from engagement_platform.domain.source_tables import Form, Needed
from engagement_platform.domain.stream_form import SourceTable

DAY = date(2026, 3, 1)


class Carried(NamedTuple):
    """A type of PostgreSQL, what it becomes, and literals of SQL with what the warehouse has for them."""

    name: str
    declared: str
    type: Type
    values: tuple[tuple[str, Any], ...]


def _of(name: str, declared: str, becomes: str, *values: tuple[str, Any]) -> Carried:
    return Carried(name, declared, parsed(becomes), values)


_WHOLE = (("0", 0), ("-1", -1))
_HIGHEST = 2**63 - 1
_BIG = "9" * 29 + "." + "9" * 9

EVERY_TYPE = (
    _of("an_int2", "int2", "integer", *_WHOLE, ("32767", 32767), ("-32768", -32768)),
    _of("an_int4", "int4", "integer", *_WHOLE, ("2147483647", 2147483647), ("-2147483648", -2147483648)),
    _of(
        *("an_int8", "int8", "integer"),
        *_WHOLE,
        (str(_HIGHEST), _HIGHEST),
        ("-9223372036854775808", -_HIGHEST - 1),
        ("9007199254740993", 9007199254740993),
    ),
    _of(
        *("a_price", "numeric(18,2)", "numeric(18,2)"),
        ("0", Decimal(0)),
        ("-0.01", Decimal("-0.01")),
        ("9999999999999999.99", Decimal("9999999999999999.99")),
        ("-9999999999999999.99", Decimal("-9999999999999999.99")),
    ),
    _of("a_count", "numeric(5)", "numeric(5,0)", ("99999", Decimal(99999)), ("-1", Decimal(-1))),
    _of("in_thousands", "numeric(5,-3)", "numeric(8,0)", ("99999499", Decimal(99999000)), ("1499", Decimal(1000))),
    _of("a_share", "numeric(2,6)", "numeric(6,6)", ("0.000099", Decimal("0.000099")), ("0.000001", Decimal("1E-6"))),
    _of(
        *("a_widest", "numeric(38,9)", "numeric(38,9)"),
        (_BIG, Decimal(_BIG)),
        (f"-{_BIG}", Decimal(f"-{_BIG}")),
        ("0.000000001", Decimal("1E-9")),
    ),
    _of(
        *("a_number", "numeric", "numeric(38,9)"),
        ("0", Decimal(0)),
        ("1e28", Decimal(10**28)),
        (_BIG, Decimal(_BIG)),
        ("1.50000000000000000000", Decimal("1.5")),
        ("-0.000000001000000000000", Decimal("-1E-9")),
        ("0.00000000000000000000", Decimal(0)),
    ),
    _of(
        *("a_float4", "float4", "float"),
        ("0.1", 0.1),
        ("'NaN'", math.nan),
        ("'Infinity'", math.inf),
        ("'-Infinity'", -math.inf),
        ("'-0'", -0.0),
        ("3.4028235e38", 3.4028235e38),
        ("1e-45", 1e-45),
        ("16777216", 16777216.0),
    ),
    _of(
        *("a_float8", "float8", "float"),
        ("0.1", 0.1),
        ("'NaN'", math.nan),
        ("'Infinity'", math.inf),
        ("'-Infinity'", -math.inf),
        ("'-0'", -0.0),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("5e-324", 5e-324),
        ("0.1::float8 + 0.2", 0.1 + 0.2),
        ("9007199254740993", 9007199254740992.0),
    ),
    _of("a_bool", "bool", "boolean", ("true", True), ("false", False)),
    _of(
        *("a_text", "text", "text"),
        ("''", ""),
        ("'null'", "null"),
        (r"E'\x01\t\n\r\"\\/'", '\x01\t\n\r"\\/'),
        ("U&'\\2028\\00e9e\\0301\\+01F600'", "\u2028\u00e9e\u0301\U0001f600"),
        ("repeat('عنوان ', 2000)", "عنوان " * 2000),
        ("' both '", " both "),
    ),
    _of("a_varchar", "varchar(8)", "text", ("'trail   '", "trail   "), ("''", "")),
    _of("a_char", "char(8)", "char", ("'ab'", "ab      "), ("''", " " * 8), ("'عن'", "عن      ")),
    _of("a_citext", "citext", "text", ("'MiXed'", "MiXed")),
    _of("an_enum", "mood", "text", ("'glad'", "glad"), ("'not ''so'' \"glad\"'", "not 'so' \"glad\"")),
    _of(
        *("a_uuid", "uuid", "uuid"),
        ("'6F2C1D7E-1111-4222-8333-123456789ABC'", "6f2c1d7e-1111-4222-8333-123456789abc"),
        ("'00000000-0000-0000-0000-000000000000'", "00000000-0000-0000-0000-000000000000"),
    ),
    _of(
        *("a_date", "date", "date"),
        ("'0001-01-01'", date.min),
        ("'9999-12-31'", date.max),
        ("'2024-02-29'", date(2024, 2, 29)),
    ),
    _of(
        *("a_moment", "timestamptz", "timestamp"),
        ("'0001-01-01 00:00:00+00'", datetime(1, 1, 1, tzinfo=UTC)),
        ("'9999-12-31 23:59:59.999999+00'", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("'2026-03-01 02:30:00.000001+03:30'", datetime(2026, 2, 28, 23, 0, 0, 1, tzinfo=UTC)),
    ),
    _of(
        "to_the_minute",
        "timestamptz(0)",
        "timestamp",
        ("'1969-12-31 23:59:59+00'", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ),
    _of(
        *("a_json", "json", "json"),
        ('\'{ "a" : 1, "a":2}\'', '{ "a" : 1, "a":2}'),
        ("E'  [1,\\n 2] '", "[1,\n 2]"),
        ("'null'", None),
        ("' null '", None),
        ("'\"null\"'", '"null"'),
        (r"""'"\ud83d\ude00 \\ud83d"'""", r'"\ud83d\ude00 \\ud83d"'),
        ("(repeat('[', 3000)||repeat(']', 3000))::json", "[" * 3000 + "]" * 3000),
        ("'1e400'", "1e400"),
    ),
    _of(
        *("a_jsonb", "jsonb", "jsonb"),
        ('\'{"b":1,"a":[1.50,null]}\'', '{"a": [1.50, null], "b": 1}'),
        ("'null'", None),
        ("'\"\"'", '""'),
        ("'0'", "0"),
        ("'\"😀\\n\"'", '"😀\\n"'),
    ),
    _of(
        "a_bytea",
        "bytea",
        "bytes",
        *((f"'\\x{hexed}'", bytes.fromhex(hexed)) for hexed in ("", "00ff", "5c7822", "616263")),
    ),
    _of(
        *("some_ints", "int4[]", "array of integer"),
        ("'{}'", "[]"),
        ("'{1,NULL,-3}'", "[1,null,-3]"),
        ("'{{1,2},{3,4}}'", "[[1,2],[3,4]]"),
        ("'[5:6]={1,2}'", "[1,2]"),
    ),
    _of("some_texts", "text[]", "array of text", ("ARRAY['a\"b', NULL, 'null', '']", '["a\\"b",null,"null",""]')),
    _of(
        "some_numbers",
        "numeric(60,30)[]",
        "array of numeric(38,9)",
        ("ARRAY[1e29, 0.5]", "[1" + "0" * 29 + "." + "0" * 30 + ",0.5" + "0" * 29 + "]"),
    ),
    _of("some_floats", "float8[]", "array of float", ("ARRAY['NaN', 0.1]::float8[]", '["NaN",0.1]')),
    _of("some_json", "jsonb[]", "array of jsonb", ("ARRAY['{\"a\": 1}', 'null']::jsonb[]", '[{"a": 1},null]')),
    _of("some_moods", "mood[]", "array of text", ("ARRAY['glad']::mood[]", '["glad"]')),
    _of("a_domain", "cents", "numeric(10,2)", ("12.34", Decimal("12.34"))),
    _of("a_domain_of_it", "small_cents", "numeric(10,2)", ("0.01", Decimal("0.01"))),
    _of("a_domain_of_char", "code", "char", ("'ab'", "ab  ")),
    _of("a_domain_of_many", "ids", "array of integer", ("'{7}'", "[7]")),
    _of("some_domains", "small_cents[]", "array of numeric(10,2)", ("'{0.01}'", "[0.01]")),
)
"""Null is a value of each, beside these."""

MAKE_TYPES = """
-- What the extension citext makes, beside its operators.
CREATE TYPE citext;
CREATE FUNCTION citextin(cstring) RETURNS citext LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION citextout(citext) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE citext (INPUT = citextin, OUTPUT = citextout, LIKE = text, CATEGORY = 'S');
CREATE CAST (citext AS text) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE TYPE mood AS ENUM ('glad', 'not ''so'' "glad"');
CREATE DOMAIN cents AS numeric(10,2);
CREATE DOMAIN small_cents AS cents CHECK (value < 100);
CREATE DOMAIN code AS char(4);
CREATE DOMAIN ids AS int4[];
"""


def stream(
    enriched: str = "SELECT * FROM typed", *, id_: str = "id", time: str = "event_ts", key: str = "id"
) -> EventStream:
    """Return a stream over such a table; what is not said plays no part here."""
    return EventStream(
        name="typed",
        meaning="One of everything.",
        source=SourceTable("typed", id_, time),
        enriched=enriched,
        key=key,
        views=Views((Dimension("id", "id"),), (Measure("count", None),)),
        table="typed",
        clustered_by=(),
        user=None,
        meanings={"a_text": "Any text."},
        tables={"typed": (Needed("id", Form.WHOLE, "Number."), Needed("event_ts", Form.TIME, "Time."))},
        marts={},
        same_values={},
    )


def make_table() -> str:
    """Return the statements that make the table."""
    columns = "".join(f", {case.name} {case.declared}" for case in EVERY_TYPE)
    return (
        f"{MAKE_TYPES} CREATE TABLE typed (id bigserial PRIMARY KEY, content_id uuid, event_ts timestamptz NOT NULL"
        f" DEFAULT '{DAY} 12:00:00+00'{columns}); GRANT SELECT ON typed TO engagement_reader"
    )
