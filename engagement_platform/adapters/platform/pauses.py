"""Which loops are paused, as rows in the platform's database; those of the past stay there."""

from engagement_platform.adapters import sql
from engagement_platform.adapters.platform.connection import Store
from engagement_platform.domain.loop_state import Pause

_SQL = sql.load(__package__, "pauses.sql")


class Pauses(Store):
    """The table of pauses."""

    def present(self) -> dict[str, Pause]:
        """Return loop -> its pause, for those that are paused now."""
        return {pause.loop: pause for pause in self.session.objects(Pause, _SQL["present"])}

    def pause(self, loop: str, who: str, why: str) -> bool:
        """Pause a loop; return False when it is paused already."""
        return self.session.one(_SQL["pause"], loop=loop, who=who, why=why) is not None

    def resume(self, loop: str, who: str) -> bool:
        """End the pause of a loop; return False when it is not paused."""
        return self.session.one(_SQL["resume"], loop=loop, who=who) is not None
