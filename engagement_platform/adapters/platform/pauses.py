"""Which loops are paused, as rows in the platform's database; those of the past stay there.

Every operation raises Unavailable when the database does not answer, and connects anew the next time.
"""

from psycopg.rows import class_row

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.domain.pauses import Pause

_SQL = sql.load(__package__, "pauses.sql")


class Pauses(Session):
    """A connection to the table of pauses, made when it is first needed. For one thread at a time."""

    def present(self) -> dict[str, Pause]:
        """Return loop -> its pause, for those that are paused now."""
        with self._connected() as connection, connection.cursor(row_factory=class_row(Pause)) as rows:
            return {pause.loop: pause for pause in rows.execute(_SQL["present"])}

    def pause(self, loop: str, who: str, why: str) -> bool:
        """Pause a loop; return False when it is paused already."""
        with self._connected() as connection:
            found = connection.execute(_SQL["pause"], {"loop": loop, "who": who, "why": why}).fetchone()
        return found is not None

    def resume(self, loop: str, who: str) -> bool:
        """End the pause of a loop; return False when it is not paused."""
        with self._connected() as connection:
            return connection.execute(_SQL["resume"], {"loop": loop, "who": who}).fetchone() is not None
