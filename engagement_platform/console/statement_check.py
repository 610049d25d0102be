"""What is wrong with what a stream's statement does at the source."""

from collections.abc import Iterable, Iterator

from engagement_platform.adapters.source.statement import Relation, Sample, Statement
from engagement_platform.console import folder_check
from engagement_platform.console.finding import Finding
from engagement_platform.console.folder_check import ENRICHED
from engagement_platform.domain import statement_text
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.sql_names import written
from engagement_platform.domain.statement_plan import Proof

_ONE_ROW = (
    "Join over a key that is unique there (ask the owner for CREATE UNIQUE INDEX CONCURRENTLY …), or take one row: "
    "LEFT JOIN LATERAL (SELECT … WHERE … ORDER BY … LIMIT 1) AS … ON true."
)


def findings_of(stream: EventStream, seen: Statement) -> Iterator[Finding]:
    """Yield what a stream's statement does that it may not."""
    text, source = stream.enriched, stream.source
    for name in seen.computed:
        role = "id" if name == source.id else "time"
        yield Finding(
            "fault",
            f"{name}, the {role}, is not the column of {source.name} as it is: messages are looked up, and days are "
            "cut, by "
            "the table's own",
            f"Select event.{name} without a cast or an expression. What is computed may have another name.",
            ENRICHED,
            statement_text.line_with(text, name),
        )
    yield from (folder_check.by_chance(text, name) for name in seen.volatile)
    yield from (folder_check.by_time(text, name) for name in seen.changing)
    for name in seen.marked_volatile:
        yield Finding(
            "warning",
            f"{name}() is marked VOLATILE: where it gives another value for the same row, a message differs from a "
            "rebuild",
            f"If it does not, ask the owner to run: ALTER FUNCTION {name} STABLE",
            ENRICHED,
            statement_text.line_with(text, name),
        )
    yield from _of_rows(stream, seen)
    if statement_text.times_read(text, source.name) > 1:
        yield Finding(
            "warning",
            f"it reads {source.name} more than once: what an event has of other events changes with those that "
            "commit late",
            "Compute it in a daily table (marts/*.sql).",
            ENRICHED,
        )
    if seen.updated or seen.deleted:
        yield Finding(
            "warning",
            f"{source.name} is not append-only: {seen.updated} updates and {seen.deleted} deletes since its "
            "statistics began",
            "A stream is of what is inserted; a change shows in the warehouse once its day is rebuilt, and nowhere "
            "else. "
            "Where changes matter, take change data capture.",
        )


def findings_of_relations(text: str, relations: Iterable[Relation]) -> Iterator[Finding]:
    """Yield what the role may not read, or not see whole, of what the statement reads."""
    for relation in relations:
        line = statement_text.line_with(text, relation.written.split(".")[-1].strip('"'))
        if not relation.readable:
            yield Finding(
                "fault",
                f"the role {relation.role} may not read {relation.written}",
                f"Ask the owner to run: GRANT SELECT ON {relation.written} TO {relation.role}",
                ENRICHED,
                line,
            )
        elif relation.filtered:
            yield Finding(
                "fault",
                f"row level security hides rows of {relation.written} from {relation.role}",
                f"Ask an administrator to run: ALTER ROLE {relation.role} BYPASSRLS",
                ENRICHED,
                line,
            )


def _of_rows(stream: EventStream, seen: Statement) -> Iterator[Finding]:
    if seen.proof is not None:
        yield from _of_plan(stream, seen, seen.proof)
    if not seen.has_index:
        what = f"no index begins with {stream.source.id} of {stream.source.name}: each poll reads the whole table"
        index = f"{stream.source.name} ({written(stream.source.id)})"
        todo = f"Propose to the owner: CREATE UNIQUE INDEX CONCURRENTLY ON {index}"
        yield Finding("warning", what, todo)
    if seen.sample is not None:
        yield from _of_sample(stream, seen, seen.sample)
    elif seen.proof is not None:
        what = "what becomes of the newest rows could not be seen within 10 s: reading 1,000 events takes too long"
        yield Finding("warning", what, "Look at its plan: EXPLAIN.", ENRICHED)


def _of_plan(stream: EventStream, seen: Statement, proof: Proof) -> Iterator[Finding]:
    for name in proof.doubling:
        line = statement_text.line_with(stream.enriched, name.split(".")[-1].strip("()"))
        what = f"{name} may have several rows for one event, which would then be published several times"
        yield Finding("fault", what, _ONE_ROW, ENRICHED, line)
    for what in proof.other_rows:
        yield Finding(
            "fault",
            f"{what} makes an event depend on other rows: it would change with each new one, and a read of one event "
            "would read them all",
            "Compute it in a daily table (marts/*.sql), or in a LATERAL subquery over another table.",
            ENRICHED,
        )
    if seen.has_index and not proof.by_index and not proof.other_rows and not seen.computed:
        what = f"one event cannot be looked up by its {stream.source.id}: each poll would read the whole table"
        yield Finding("fault", what, f"Select from {stream.source.name} itself, by its own id.", ENRICHED)


def _of_sample(stream: EventStream, seen: Statement, sample: Sample) -> Iterator[Finding]:
    newest = f"of the newest {sample.rows} rows"
    if sample.doubled:
        what = f"{sample.doubled} {newest} come more than once, such as {sample.first_doubled}"
        yield Finding("fault", what, _ONE_ROW, ENRICHED)
    if sample.left_out:
        what = f"{sample.left_out} {newest} are left out, such as {sample.first_left_out}"
        todo = "They are no events then, and never will be. Where that is not meant: LEFT JOIN for JOIN."
        yield Finding("warning", what, todo, ENRICHED)
    if sample.moved and stream.source.time not in seen.computed:
        what = f"{sample.moved} {newest} have another {stream.source.time} than in the table"
        yield Finding("fault", what, f"Select event.{stream.source.time} as it is.", ENRICHED)
