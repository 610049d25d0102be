"""Where the events of a stream come from, and the statements that read them there."""

from dataclasses import dataclass

from engagement_platform.adapters.sql import filled, identifier, text
from engagement_platform.adapters.streams import stream_of
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.settings import Settings


@dataclass(frozen=True, slots=True)
class Origin:
    """A server, and the stream that is read there."""

    dsn: str
    stream: EventStream

    def statement(self, template: str) -> str:
        """Return the statement of a template of the `.sql` files, for a client that fills in parameters at each %.

        `{table}`, `{id}`, `{time}` and `{key}` are the stream's, as identifiers; `{table_name}`, `{id_name}`
        and `{time_name}` are the same as texts; `{enriched}` is the stream's statement. Other braces stay.
        """
        return self._filled(template, self.stream.enriched.replace("%", "%%"))

    def plain(self, template: str) -> str:
        """Return the same for a client without parameters."""
        return self._filled(template, self.stream.enriched)

    def _filled(self, template: str, enriched: str) -> str:
        source = self.stream.source
        values = {
            "table": source.name,
            "id": identifier(source.id),
            "time": identifier(source.time),
            "key": identifier(self.stream.key),
            "table_name": text(source.name),
            "id_name": text(source.id),
            "time_name": text(source.time),
            "enriched": f"{enriched}\n",  # it may end in a comment
        }
        return filled(template, values)


def origin_of(settings: Settings) -> Origin:
    """Return where the settings say that the events come from."""
    return Origin(settings.source.dsn.get_secret_value(), stream_of(settings))
