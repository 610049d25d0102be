"""What the contract's tests share: a store that can be opened many times, and short names for what they do to it."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Protocol, TypeVar

from pydantic import SecretStr

from engagement_platform.adapters.warehouse.port import Conflict, Load, Replacement, Warehouse
from engagement_platform.domain.table import Table
from engagement_platform.settings import Settings
from engagement_platform_tests.adapters.warehouse.rows import DAY
from engagement_platform_tests.streams import ENGAGEMENT_EVENTS

T = TypeVar("T")

EVER = "event_ts >= TIMESTAMP '0001-01-01 00:00:00+00'"
"""True of all events. A warehouse may refuse a query whose WHERE does not say which days it reads."""
ALL_DAYS = "day >= DATE '0001-01-01'"
"""The same for the tables whose day is a DATE."""
IDS = f"SELECT id FROM engagement_events WHERE {EVER} ORDER BY id"
ALL = f"SELECT * FROM engagement_events WHERE {EVER} ORDER BY id"
_TRIES = 50


class Store(Protocol):
    """One warehouse that a test opens several times, as several processes do."""

    @property
    def days(self) -> Sequence[date]:
        """Days that can be replaced, the first and the last such day among them."""

    def open(self) -> Warehouse:
        """Return another instance, which knows nothing of the others."""

    def drop(self, name: str) -> None:
        """Remove a table behind the platform's back."""

    def drop_column(self, name: str, column: str) -> None:
        """Make a table anew, without a column and without rows."""

    def add_column(self, name: str, column: str) -> None:
        """Add a column of text to a table."""

    def retype_column(self, name: str, column: str) -> None:
        """Make a table anew, without rows and with a column as text."""


def warehouse_settings(**values: object) -> Settings:
    """Return settings whose databases do not exist: a warehouse needs none of them."""
    nowhere = SecretStr("postgresql://nobody@127.0.0.1:1/none")
    return Settings.of(source_dsn=nowhere, platform_dsn=nowhere, **values)


def load(version: int, attempt: int = 0, writer: str = "stage", table: Table = ENGAGEMENT_EVENTS) -> Load:
    return Load(f"{writer}_{version}", writer, version, table, attempt)


def replacement(number: int, day: date = DAY, table: Table = ENGAGEMENT_EVENTS) -> Replacement:
    return Replacement(table, day, number)


def ids(warehouse: Warehouse, sql: str = IDS) -> list[int]:
    found: list[int] = warehouse.query(sql).column("id").to_pylist()
    return found


def settled(act: Callable[[], T]) -> T:
    """Do what callers do on a conflict: begin again."""
    for _ in range(_TRIES):
        try:
            return act()
        except Conflict:
            continue
    raise AssertionError(f"conflicts without end in {_TRIES} tries")
