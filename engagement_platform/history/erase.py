"""Erasing a user whose rows the owner has deleted in the source: which days hold the user, and what remains where."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from engagement_platform.adapters.kafka.topics import shown_topics, topic_configuration
from engagement_platform.adapters.source.history import events_of_user
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.warehouse.connect import open_warehouse, replaced_rows_kept_hours
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.users import user_column, user_value
from engagement_platform.history import table
from engagement_platform.settings import Settings
from engagement_platform.stream.numbering import history_of


def days_of_user(settings: Settings, user_id: str) -> list[date]:
    """Return the days of the warehouse that hold events of a user.

    Raises EngagementError while the source still has some: a rebuild would only bring them back.
    """
    origin = origin_of(settings)
    stream = origin.stream
    column = user_column(stream, history_of(settings).whole)
    user = user_value(column, user_id)
    left = events_of_user(origin, column, user)
    if left:
        source = stream.source.name
        own = column.name in {needed.name for needed in stream.tables[source]}
        rows = f"DELETE FROM {source} WHERE {column.name} = '…'" if own else f"those with this {column.name}"  # noqa: S608
        raise EngagementError(
            f"The source still has {left} events of user {user_id}.",
            f"Its owner has to delete them first: {rows}. Then run this command again.",
        )
    warehouse = open_warehouse(settings)
    warehouse.ensure(table_now(settings))
    answer = warehouse.query(table.days_of_user(stream, column), {"user_id": user})
    return [day for day in answer.column("day").to_pylist() if day is not None]


def remains(settings: Settings, now: datetime) -> dict[str, datetime | None]:
    """Return where copies of events outlive the rebuild of their days, when that is done at `now`, and until when.

    None: until somebody removes them.
    """
    topics = settings.topics.events, settings.topics.replays, settings.topics.dead_letters
    shown = shown_topics(settings.kafka, *topics)
    copies: dict[str, datetime | None] = {
        f"Kafka's topic {topic}": _until(topic_configuration(settings.kafka, topic), now)
        for topic in topics
        if topic in shown
    }
    copies["the warehouse's history of replaced rows"] = now + timedelta(hours=replaced_rows_kept_hours(settings))
    copies[f"files of rejected messages in {settings.own_dir / 'bigquery_batches'}"] = None
    stream = origin_of(settings).stream
    if stream.user in stream.views.columns:  # only views that count by the user, or show it, have it
        copies["the views in Redis"] = now + timedelta(seconds=settings.views.window_seconds)
    return copies


def _until(configuration: Mapping[str, str], now: datetime) -> datetime | None:
    """Kafka removes whole segments, and an open one takes records for up to `segment.ms`."""
    kept, open_for = int(configuration["retention.ms"]), int(configuration["segment.ms"])
    return None if kept < 0 else now + timedelta(milliseconds=kept + open_for)
