"""A planned statement whose rows come in parts: what `stream` of psycopg offers, with a plan that is kept."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import generators, pq
from psycopg.abc import PQGen
from psycopg.pq.abc import PGconn, PGresult

from engagement_platform.adapters import sql

_NAME = b"engagement_planned"
_ENDED = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)

Parameter = int | Sequence[int] | None


class Planned:
    """One statement of a connection, which is planned anew when its text changes or `expire` was called.

    PostgreSQL checks with each use what the plan rests on: it plans again after a change of tables, columns, views,
    functions, types and rights, and refuses one whose columns are others now. What it does not see is that a name means
    another thing than before (a table made in an earlier schema of the search path), or a constant (a renamed label of
    an enum). So a plan may live only from one look at the source to the next.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._text = b""
        self._is_there = False
        self._names: Sequence[str] = ()
        self.is_new = True
        """Whether the last use had to plan it."""

    def expire(self) -> None:
        """Plan again with the next use."""
        self._text = b""

    def parts(
        self, text: bytes, parameters: Mapping[str, Parameter], rows: int, *, binary: bool
    ) -> Generator[PGresult]:
        """Yield the rows, as many at a time, as PostgreSQL computes them; the rest is cancelled where nobody reads on.

        The last part is empty, and tells the columns as each of them does. Raises psycopg.Error.
        """
        pgconn, wait = self._connection.pgconn, self._connection.wait
        self.is_new = text != self._text
        if self.is_new:
            self._plan(text)
        values = [_written(parameters[name]) for name in self._names]
        try:
            wait(_send(pgconn, values, rows, binary=binary))
            while (part := wait(generators.fetch(pgconn))) is not None:
                if part.status == pq.ExecStatus.FATAL_ERROR:
                    raise self._error(part)
                yield part
        finally:
            if pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
                self._give_up()

    def _plan(self, text: bytes) -> None:
        connection = self._connection
        self._text = b""
        if self._is_there:
            connection.execute(b"DEALLOCATE " + _NAME)
            self._is_there = False
        self._names, numbered = sql.numbered(text)
        connection.pgconn.send_prepare(_NAME, numbered)
        for answer in connection.wait(generators.execute(connection.pgconn)):
            if answer.status not in _ENDED:
                raise self._error(answer)
        self._text, self._is_there = text, True

    def _error(self, answer: PGresult) -> psycopg.Error:
        return psycopg.errors.error_from_result(answer, self._connection.info.encoding)

    def _give_up(self) -> None:
        """End what is under way, so that the connection can be used. Raises psycopg.Error."""
        connection = self._connection
        connection.cancel_safe()
        while connection.wait(generators.fetch(connection.pgconn)) is not None:
            pass


def _send(pgconn: PGconn, values: Sequence[bytes | None], rows: int, *, binary: bool) -> PQGen[None]:
    pgconn.send_query_prepared(_NAME, values, result_format=pq.Format.BINARY if binary else pq.Format.TEXT)
    pgconn.set_chunked_rows_mode(rows)
    yield from generators.send(pgconn)


def _written(value: Parameter) -> bytes | None:
    if value is None or isinstance(value, int):
        return None if value is None else b"%d" % value
    return b"{%s}" % b",".join(b"%d" % one for one in value)
