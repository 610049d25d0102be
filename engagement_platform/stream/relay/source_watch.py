"""Watches whether the ids of the source still mean what they meant when their rows were published.

Server, table and sequence are looked at about once a second; whatever is concluded from a read is held against the last
look in the same statement, so nothing is given up or published by the rules of a table that is no more there.
"""

from collections.abc import Sequence

from engagement_platform.adapters.repeated import Interval
from engagement_platform.adapters.source.reader import Source
from engagement_platform.adapters.source.rows import Limits, Row, Rows
from engagement_platform.domain import marks as marking
from engagement_platform.domain.checkpoint import (
    ADOPT,
    RESET_ALL,
    SourceIdentity,
    require_not_set_back,
    require_same_identity,
)
from engagement_platform.domain.coverage import Coverage
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.ids import IdRange, gaps_between, merged
from engagement_platform.domain.ledger import EVERYTHING, KEPT_UNSEEN, Ledger, begin, reopened
from engagement_platform.domain.marks import DENSE, Columns, Mark, MarkedRows, Marker, Marks

LOOK_SECONDS = 1.0
MAX_FOREIGN_RANGES = 10_000
"""Ranges of ids between foreign ones: with more of them the ids are not those of the sequence."""


def begin_at(source: Source, hi: int, lookback: int) -> Ledger:
    """Return the ledger that begins at an id: what is visible up to it counts as published.

    Of the ids below it that are not visible, those stay open that the sequence has yet to give, and the last `lookback`
    of those that it gave, whose transactions may be open. Where the sequence is not seen, the holes among the newest
    rows stay open: one of them may lie below a foreign id. Raises Altered.
    """
    given = source.last_given()
    if given is None:
        newest = source.newest_ids(hi, KEPT_UNSEEN)[::-1]
        holes = gaps_between(newest[0] - 1, newest) if newest else ()
        missing = merged((*holes, *source.missing_below(hi, lookback)))
    elif given >= hi:
        missing = source.missing_below(hi, lookback)
    else:
        last = next(iter(source.newest_ids(given, 1)), min(given, max(0, given - lookback)))
        missing = (*source.missing_below(last, lookback), *source.holes_between(last, hi, MAX_FOREIGN_RANGES))
    return begin(hi, missing, source.holders(), given)


class SourceWatch:
    """What is known of the source. `identity`, `numbered` and `marks` go into the checkpoint."""

    def __init__(
        self,
        source: Source,
        limits: Limits,
        identity: SourceIdentity,
        *,
        numbered: int | None = None,
        marks: Marks = (),
        marked_by: Columns = ((), ()),
        schema_hash: str = "",
    ) -> None:
        """`schema_hash` is of the schema by which the rows were marked; empty where it is that of now.

        `marked_by` are the columns of which their marks were made; none where they are those of now.
        """
        self.identity = identity
        self.numbered = numbered
        self.marks = marks
        self._source = source
        self._limits = limits
        self._marker = marking.Marker(marking.marked_columns(source.stream))
        self._marked_by = marking.Marker(marked_by) if any(marked_by) else self._marker
        self._is_reformed = (
            schema_hash not in {"", source.schema.hash} or self._marked_by.columns != self._marker.columns
        )
        self._saw_sequence = source.sees_sequence
        self.looks = Interval(LOOK_SECONDS, is_due=True)

    @property
    def marked_by(self) -> Columns:
        """The columns of which the marks are made."""
        return self._marked_by.columns

    def look(self, ledger: Ledger) -> Ledger:
        """Look anew, and return the ledger with what may come back. Raises StreamStopped, Unavailable, Altered."""
        now = self._source.look()
        require_same_identity(self.identity, now, self._source.table)
        given = self._source.last_given()
        ledger = self._compared(ledger, now, given)
        if self._source.sees_sequence != self._saw_sequence:
            ledger = begin(ledger.hi, ledger.missing, self._source.holders(), given)
            self._saw_sequence = self._source.sees_sequence
        if self.numbered is None and given is not None and given >= ledger.hi:
            self.numbered = ledger.hi
        self.identity = now
        if self._is_reformed:
            self.reform()
        self.looks.restart()
        return ledger

    def note(self, rows: Rows) -> None:
        """Take note of rows that are about to be published."""
        given = EVERYTHING if rows.last_given is None else rows.last_given
        of_sequence = [row for row in rows.rows if row.id <= given]
        chosen = [of_sequence[at] for at in marking.worth_marking(len(of_sequence))]
        self.marks = marking.noted(self.marks, [self._marker.mark(row.id, row.value) for row in chosen])
        if rows.last_given is not None and of_sequence:
            last = of_sequence[-1].id
            self.numbered = last if self.numbered is None else max(self.numbered, last)

    def is_set_back(self, rows: Rows) -> bool:
        """Say whether the sequence stands below an id that it had given."""
        if not rows.rows or rows.last_given is None or self.numbered is None:
            return False
        return rows.last_given < self.numbered

    def remark(self, ledger: Ledger) -> None:
        """Mark the newest rows that count as published, where nothing is marked yet."""
        given = self._source.last_given()
        top = ledger.hi if given is None else min(ledger.hi, given)
        published = Coverage(ledger.hi, ledger.missing)
        ids = [one for one in reversed(self._source.newest_ids(top, 2 * DENSE)) if published.covers(one)]
        self.marks = marking.noted((), _marked(self._marker, self._rows(ids)).values())
        self._marked_by = self._marker
        if self.numbered is None and given is not None:
            self.numbered = ids[-1] if ids else min(0, given)

    def compare(self) -> MarkedRows:
        """Compare the marks with the rows that the source has now."""
        return self._verdict(self._rows([one.id for one in self.marks]))

    def _verdict(self, rows: Sequence[Row]) -> MarkedRows:
        who, _ = self._marked_by.columns
        return marking.compare(
            self.marks,
            _marked(self._marked_by, rows),
            is_reformed=self._is_reformed,
            by_id=not set(who) <= set(self._source.schema.names),
        )

    def reform(self) -> None:
        """Mark the published rows by the columns that they have now. Raises StreamStopped where they are others."""
        self._is_reformed = True
        rows = self._rows([one.id for one in self.marks])
        verdict = self._verdict(rows)
        if verdict.others:
            raise rows_replaced(verdict)
        now = _marked(self._marker, rows)
        self.marks = tuple(now.get(one.id, one) for one in self.marks)
        self._marked_by = self._marker
        self._is_reformed = False

    def _compared(self, ledger: Ledger, now: SourceIdentity, given: int | None) -> Ledger:
        was = self.identity
        if given is not None and self.numbered is not None:
            require_not_set_back(self.numbered, given)
            is_low = False
        else:
            is_low = (self._source.highest_id() if given is None else given) < ledger.hi
        may_differ = _differ(was.started, now.started) or _differ(was.sequence_storage, now.sequence_storage)
        if not (is_low or may_differ or _differ(was.table_storage, now.table_storage)):
            return ledger
        verdict = self.compare()
        if is_low and not (self.marks and verdict.is_harmless):
            require_not_set_back(ledger.hi, self._source.highest_id() if given is None else given)
        if verdict.others or (may_differ and not verdict.is_harmless):
            raise rows_replaced(verdict)
        return self._without(verdict, ledger)

    def _without(self, verdict: MarkedRows, ledger: Ledger) -> Ledger:
        """Forget rows that are gone. Where all of them are known, their ids may be given once more, and stay open."""
        if not verdict.gone:
            return ledger
        self.marks = tuple(one for one in self.marks if one.id not in set(verdict.gone))
        if not verdict.is_complete:
            return ledger
        return reopened(ledger, [one for one in verdict.gone if one <= ledger.hi], self._source.holders())

    def _rows(self, ids: Sequence[int]) -> list[Row]:
        rows: list[Row] = []
        while ids:
            part = self._source.read(EVERYTHING, [IdRange(one, one) for one in ids], self._limits)
            rows.extend(part.rows)
            ids = [one for one in ids if part.cut and one > part.rows[-1].id]
        return rows


def _marked(marker: Marker, rows: Sequence[Row]) -> dict[int, Mark]:
    return {row.id: marker.mark(row.id, row.value) for row in rows}


def _differ(was: int, now: int) -> bool:
    return was not in {0, now}


def require_few_foreign(ledger: Ledger, table: str) -> None:
    """Raise StreamStopped when so many ids lie above the sequence that they cannot be those of a mistake."""
    if len(ledger.ungiven) > MAX_FOREIGN_RANGES:
        raise StreamStopped(
            f"Rows stand under more than {MAX_FOREIGN_RANGES} scattered ids that the sequence of {table} has not "
            f"given: the highest is {ledger.hi}.",
            "Somebody writes ids without the sequence. Ask the owner to take all of them from it, and to move it past "
            "the highest one with setval. The stream then goes on.",
        )


def rows_replaced(verdict: MarkedRows) -> StreamStopped:
    """Return what to say when published ids belong to other rows."""
    if verdict.others:
        what = f"id {verdict.others[0]} belongs to another row than the one that was published"
    else:
        what = f"the rows published last, from id {verdict.gone[0]} on, are gone"
    if verdict.kept is None:
        upto, todo = "no marked row is left", f"Publish all rows: {RESET_ALL}"
    else:
        upto = f"up to id {verdict.kept} they are those that were published"
        todo = f"Publish what came since: engagement-platform checkpoint reset --at {verdict.kept}"
    return StreamStopped(
        f"The source has other rows than before, as when an earlier copy of it is put back: {what}; {upto}.",
        f"{todo}; then rebuild the days since that copy. If rows were only updated or deleted: {ADOPT} --force",
    )
