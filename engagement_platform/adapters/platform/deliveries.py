"""The record of the last requests to the partner, in the platform's database.

Written in the background about once a second, and never waited for: what the database does not take in time is left
out, and counted. No promise rests on it.
"""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import NoTable, Session, Store
from engagement_platform.adapters.platform.copies import Copier, Write
from engagement_platform.adapters.repeated import Interval
from engagement_platform.domain.delivery.record import CLASSES, Became, Delivery, content_number, readable
from engagement_platform.domain.errors import Unavailable
from engagement_platform.settings import Settings

log = logging.getLogger(__name__)

_SQL = sql.load(__package__, "deliveries.sql")
_CHOOSING = {name: sql.filled(_SQL[name], {"chosen": _SQL["chosen"]}) for name in ("list", "counts", "events")}

MOST_GOOD, MOST_FAILED = 200, 1_000
"""Requests that wait to be written: beyond so many those that the partner took are left out, and then all."""
MOST_BYTES = 16 << 20
"""What those take that wait, or are being written, about; those that the partner took a quarter of it."""
_PRUNE_SECONDS = 600.0
_PRUNED_AT_ONCE = 5_000
_HIGHEST = (1 << 63) - 2
"""The last id for which PostgreSQL can write a range: it notes the id behind its end."""
_ROW_BYTES = 150
"""What a row takes beside its arrays and texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which requests are meant: those for which everything holds that is given."""

    since: datetime | None = None
    until: datetime | None = None
    became: Sequence[Became] = ()
    classes: Sequence[str] = ()
    """Of `record.CLASSES`."""
    event_id: int | None = None
    content: str = ""
    """The key of the events' content, as text."""
    numbers: Sequence[int] = ()
    before: int | None = None
    """The number below which requests are listed: the page after."""

    def parameters(self) -> dict[str, object]:
        """Return what the statements take."""
        return {
            "since": self.since,
            "until": self.until,
            "before": self.before,
            "became": [str(one) for one in self.became] or None,
            "classes": [_class_number(one) for one in self.classes] or None,
            "event_id": self.event_id,
            "content": content_number(self.content) if self.content else None,
            "numbers": list(self.numbers) or None,
        }


def _class_number(name: str) -> int:
    return 0 if name == CLASSES[-1] else int(name[0])


@dataclass(frozen=True, slots=True)
class Count:
    """How many of the chosen requests have had the same outcome."""

    became: Became
    status_class: str
    requests: int
    events: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is of the record."""

    since: datetime | None
    """The first request that is kept; None where none is."""
    bytes: int
    """About, and before compression."""
    requests: int


class DeliveryTable(Store):
    """The table of requests."""

    def newest(self, chosen: Filter, n: int) -> Sequence[Delivery]:
        """Return the newest `n` of the chosen requests, the newest first."""
        rows = self.session.all(_CHOOSING["list"], **chosen.parameters(), n=n)
        return [Delivery(**row | {"became": Became(row["became"]), "ids": tuple(row["ids"])}) for row in rows]

    def counts(self, chosen: Filter) -> Sequence[Count]:
        """Return how many of the chosen requests have had which outcome."""
        rows = self.session.all(_CHOOSING["counts"], **chosen.parameters())
        return [
            Count(Became(row["became"]), _class_name(row["class"]), row["requests"], row["events"], row["since"])
            for row in rows
        ]

    def events(self, chosen: Filter, n: int) -> Sequence[int]:
        """Return the events of the chosen requests, each once, ascending, `n` at most; of a chosen one, it alone."""
        return [row["id"] for row in self.session.all(_CHOOSING["events"], **chosen.parameters(), n=n)]

    def next_number(self) -> int:
        """Return the number below which all requests are that are kept now."""
        (row,) = self.session.all(_SQL["next_number"])
        return int(row["number"])

    def kept(self) -> Kept:
        """Return what there is."""
        (row,) = self.session.all(_SQL["kept"])
        return Kept(**row)

    def keep(self, deliveries: Sequence[Delivery]) -> None:
        """Keep requests, all or none of them."""
        statement = self.session.filled(_SQL["keep"])
        with self.session.connected() as connection, connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(statement, [_row(one) for one in deliveries])

    def prune(self, hours: float, most_bytes: int) -> int:
        """Forget what is older, and what is beyond so many bytes; return how many requests that were."""
        forgotten = 0
        while True:
            rows = self.session.all(_SQL["prune"], hours=hours, bytes=most_bytes, rows=_PRUNED_AT_ONCE)
            forgotten += len(rows)
            if len(rows) < _PRUNED_AT_ONCE:
                return forgotten


def _class_name(number: int | None) -> str:
    return CLASSES[-1] if number is None else f"{number}xx"


def _row(delivery: Delivery) -> Mapping[str, Any]:
    row = asdict(delivery)
    row |= {name: readable(row[name]) for name in ("reason", "response")}
    row |= {"ids": list(delivery.ids), "contents": list(delivery.contents), "became": str(delivery.became)}
    lowest, highest = (min(end(delivery.ids), _HIGHEST) for end in (min, max))
    return row | {"lowest": lowest, "highest": highest, "bytes": bytes_of(delivery)}


def bytes_of(delivery: Delivery) -> int:
    """Return what a request takes in the table, about."""
    texts = len(delivery.reason) + len(delivery.response) + len(delivery.body or "")
    return _ROW_BYTES + 8 * len(delivery.ids) + 4 * len(delivery.contents) + texts


def prune(settings: Settings) -> int:
    """Forget what is beyond the bounds of the settings, also where nothing is kept any more; return how many requests.

    Raises Unavailable.
    """
    with DeliveryTable.opened(settings, "upkeep") as table, suppress(NoTable):
        return _prune(table, settings)
    return 0


def _prune(table: DeliveryTable, settings: Settings) -> int:
    return table.prune(settings.deliveries.hours, most_bytes(settings))


def most_bytes(settings: Settings) -> int:
    """Return how many bytes of requests are kept, at most."""
    return int(settings.deliveries.megabytes * 1_000_000)


class DeliveryRecord(Copier):
    """Keeps requests from a thread of its own, while the block runs."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "forward-deliveries", log)
        self._settings = settings
        self._pending: deque[Delivery] = deque()
        self._writing: list[Delivery] = []  # of the thread, as the next
        self._prunes = Interval(_PRUNE_SECONDS, is_due=True)
        self._unpruned = 0
        self._noted_bytes = 0
        self._settled_bytes = 0  # of the thread
        self.left_out = 0
        """How many requests were not kept, as the database was slow or away, or as there were too many."""

    def note(self, delivery: Delivery) -> None:
        """Take note of a request. Returns at once."""
        is_good = delivery.became is Became.DELIVERED
        most, room = (MOST_GOOD, MOST_BYTES // 4) if is_good else (MOST_FAILED, MOST_BYTES)
        size = bytes_of(delivery)
        if len(self._pending) >= most or self._noted_bytes - self._settled_bytes + size > room:
            self.left_out += 1
        else:
            self._noted_bytes += size
            self._pending.append(delivery)

    def _news(self) -> Sequence[Write]:
        return (self._write,) if self._writing or self._pending else ()

    def _write(self, session: Session) -> None:
        table = DeliveryTable(session)
        self._writing += [self._pending.popleft() for _ in range(len(self._pending))]
        self._keep(table)
        if self._prunes.is_due or self._unpruned > most_bytes(self._settings) / 10:
            _prune(table, self._settings)
            self._prunes.restart()
            self._unpruned = 0

    def _keep(self, table: DeliveryTable) -> None:
        """Write what is in hand. While the database is away it stays in hand, within bounds."""
        try:
            table.keep(self._writing)
        except Unavailable as error:
            if not isinstance(error.__cause__, psycopg.DataError):
                self.left_out += len(self._writing[MOST_FAILED:])
                self._settle(slice(MOST_FAILED, None))
                raise
            self._keep_each(table)
        else:
            self._unpruned += self._settle(slice(None))

    def _keep_each(self, table: DeliveryTable) -> None:
        """Write what is in hand one by one: else a request that the database does not take would hold up all others."""
        while self._writing:
            try:
                table.keep(self._writing[:1])
            except Unavailable as error:
                if not isinstance(error.__cause__, psycopg.DataError):
                    raise
                log.warning("A request to the partner is not kept: %s", error)
                self.left_out += 1
                self._settle(slice(1))
            else:
                self._unpruned += self._settle(slice(1))

    def _settle(self, which: slice) -> int:
        """Let go of some requests in hand; return how many bytes they took."""
        size = sum(map(bytes_of, self._writing[which]))
        del self._writing[which]
        self._settled_bytes += size
        return size
