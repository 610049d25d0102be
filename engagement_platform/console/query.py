"""engagement-platform sql: ask the warehouse a question, in BigQuery's dialect whichever warehouse it is."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any, Literal

import click

from engagement_platform.console.streams import of_stream, settings_of

Row = Sequence[Any]
_TO_QUOTE = re.compile(r'[",\r\n]|^\s|\s$')


@click.command("sql")
@click.argument("query")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option("--max-rows", default=1_000, show_default=True, help="Most rows of the form `table`; 0 for all.")
@of_stream
def sql(query: str, form: str, max_rows: int, *, stream: str | None) -> None:
    """Run a SELECT on the warehouse. Tables: that of the events, and the marts (see docs/warehouse.md).

    csv and json hold every row, exactly: NUMERIC with its digits, times as RFC 3339 in UTC. In csv an empty
    text is "" and NULL is nothing.
    """
    from engagement_platform.adapters.stream_table import table_now
    from engagement_platform.adapters.streams import stream_of
    from engagement_platform.adapters.warehouse.connect import open_warehouse
    from engagement_platform.domain.errors import Unavailable
    from engagement_platform.history.table import tables_of

    settings = settings_of(stream)
    warehouse = open_warehouse(settings)
    with suppress(Unavailable):  # of the databases, which a question to the warehouse does not need
        warehouse.ensure(table_now(settings))
    for table in tables_of(stream_of(settings)):
        warehouse.ensure(table)
    answer = warehouse.query(query)
    rows = (tuple(row.values()) for batch in answer.to_batches() for row in batch.to_pylist())
    names = answer.column_names
    if form == "csv":
        _write_csv(names, rows)
    elif form == "json":
        _write_json(names, rows)
    else:
        _print_table(names, rows, max_rows, answer.num_rows)


def _write_csv(names: Sequence[str], rows: Iterable[Row]) -> None:
    """Write RFC 4180; as PostgreSQL's COPY does, NULL is nothing at all and an empty text is a pair of quotes."""
    for row in chain((names,), rows):
        sys.stdout.write(",".join(map(_field, row)) + "\r\n")


def _field(value: Any) -> str:
    if value is None:
        return ""
    text = _text(value)
    return '"' + text.replace('"', '""') + '"' if not text or _TO_QUOTE.search(text) else text


def _write_json(names: Sequence[str], rows: Iterable[Row]) -> None:
    """Write one object a line; NUMERIC as text, for a reader of JSON would make a float of it."""
    for row in rows:
        click.echo(json.dumps(dict(zip(names, row, strict=True)), default=_text, ensure_ascii=False))


def _print_table(names: Sequence[str], rows: Iterable[Row], most: int, total: int) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    grid = Table(*[escape(name) for name in names])
    for number, row in enumerate(rows):
        if most and number == most:
            break
        grid.add_row(*[Text("null", style="dim") if v is None else Text(_text(v), justify=_side(v)) for v in row])
    Console().print(grid)
    if most and total > most:
        click.echo(f"{total} rows, of which {most} are shown: --max-rows, or --format csv.")


def _side(value: Any) -> Literal["left", "right"]:
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return "right" if is_number else "left"


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
