"""The warehouse's table of the settings' stream, with every column that its messages have had."""

from contextlib import suppress

from engagement_platform.adapters.platform.connection import NoTable, Session
from engagement_platform.adapters.platform.schemas import Schemas
from engagement_platform.adapters.source.describe import schema_now
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.domain.columns import Schema, joined
from engagement_platform.domain.stream_table import table_of
from engagement_platform.domain.table import Table
from engagement_platform.settings import Settings


def table_now(settings: Settings, session: Session | None = None, *, known: Schema | None = None) -> Table:
    """Return the table as all forms of the messages up to now have it; before the first, as the source describes it.

    `session` is one with the platform database, where there is one already. `known` has columns that the caller needs,
    also where that database has lost them. Raises Unavailable; StreamStopped where the statement of the stream cannot
    be used.
    """
    origin = origin_of(settings)
    if session is not None:
        forms = _forms(session)
    else:
        with Session(settings, "table") as own:
            forms = _forms(own)
    if known is not None:
        forms = [*forms, known]
    return table_of(origin.stream, joined(forms) if forms else schema_now(origin))


def _forms(session: Session) -> list[Schema]:
    with suppress(NoTable):
        return [*Schemas(session).all().values()]
    return []
