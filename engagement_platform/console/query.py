"""engagement-platform sql: ask the warehouse a question, in BigQuery's dialect whichever warehouse it is."""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from engagement_platform.adapters.warehouse.connect import connect
from engagement_platform.domain.marts import MARTS
from engagement_platform.domain.table import ENGAGEMENT_EVENTS
from engagement_platform.settings import load

Row = Sequence[Any]


@click.command("sql")
@click.argument("query")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option("--max-rows", default=1_000, show_default=True, help="Most rows of the form `table`; 0 for all.")
def sql(query: str, form: str, max_rows: int) -> None:
    """Run a SELECT on the warehouse. Tables: engagement_events and the daily tables (see docs/warehouse.md).

    csv and json hold every row, exactly: NUMERIC with its digits, times as RFC 3339 in UTC.
    """
    warehouse = connect(load())
    for table in (ENGAGEMENT_EVENTS, *MARTS):
        warehouse.ensure(table)
    found = warehouse.query(query)
    rows = (tuple(row.values()) for batch in found.to_batches() for row in batch.to_pylist())
    names = found.column_names
    if form == "csv":
        _write_csv(names, rows)
    elif form == "json":
        _write_json(names, rows)
    else:
        _print_table(names, rows, max_rows, found.num_rows)


def _write_csv(names: Sequence[str], rows: Iterable[Row]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(names)
    writer.writerows(["" if value is None else _text(value) for value in row] for row in rows)


def _write_json(names: Sequence[str], rows: Iterable[Row]) -> None:
    """Write one object a line; NUMERIC as text, for a reader of JSON would make a float of it."""
    for row in rows:
        click.echo(json.dumps(dict(zip(names, row, strict=True)), default=_text, ensure_ascii=False))


def _print_table(names: Sequence[str], rows: Iterable[Row], most: int, total: int) -> None:
    grid = Grid(*[escape(name) for name in names])
    for number, row in enumerate(rows):
        if most and number == most:
            break
        grid.add_row(*[_cell(value) for value in row])
    Console().print(grid)
    if most and total > most:
        click.echo(f"{total} rows, of which {most} are shown: --max-rows, or --format csv.")


def _cell(value: Any) -> Text:
    if value is None:
        return Text("null", style="dim")
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return Text(_text(value), justify="right" if is_number else "left")


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
