"""The daily tables that are made from `engagement_events`: one row for what was done on a day.

A number about users counts those who are known; a user who is active on two days is counted on both.
"""

from engagement_platform.domain.table import Column, Kind, Table

_DAY = Column("day", Kind.DATE, "The day, in UTC.", required=True)
_SECONDS = Column("engagement_seconds", Kind.NUMERIC, "Sum of the events' engagement, in seconds.")
_USERS = Column("unique_users", Kind.INT64, "Users with at least one event; events without a user are not counted.")
_PLAYS = Column("plays", Kind.INT64, "Events of the type play.")
_FINISHES = Column("finishes", Kind.INT64, "Events of the type finish.")
_EVENTS = Column("events", Kind.INT64, "All events.")

DAILY_CONTENT = Table(
    "daily_content_engagement",
    "What was done with each content on each day. Events without content are one row without content_id.",
    day="day",
    clustered_by=("content_id",),
    columns=(
        _DAY,
        Column("content_id", Kind.STRING, "UUID of the content; null for events without one."),
        Column("slug", Kind.STRING, "Short name of the content; the last one where it changed within the day."),
        Column("title", Kind.STRING, "Title of the content; the last one where it changed within the day."),
        Column("content_type", Kind.STRING, "podcast, newsletter, video, or another text that the source has."),
        _PLAYS,
        Column("pauses", Kind.INT64, "Events of the type pause."),
        _FINISHES,
        Column("clicks", Kind.INT64, "Events of the type click."),
        _USERS,
        _SECONDS,
        Column("mean_engagement_pct", Kind.FLOAT64, "Mean of the events' engagement_pct, a ratio; null without one."),
        Column("completion_rate", Kind.FLOAT64, "finishes / plays, a ratio; null without a play."),
    ),
)

DAILY_DEVICE = Table(
    "daily_device_engagement",
    "What was done on each device on each day.",
    day="day",
    clustered_by=("device",),
    columns=(
        _DAY,
        Column("device", Kind.STRING, "The device; null for events without one."),
        _EVENTS,
        _PLAYS,
        _FINISHES,
        _USERS,
        _SECONDS,
    ),
)

HOURLY = Table(
    "hourly_engagement",
    "What was done in each hour, by type of content and of event.",
    day="day",
    clustered_by=("content_type",),
    columns=(
        _DAY,
        Column("hour", Kind.TIMESTAMP, "The beginning of the hour.", required=True),
        Column(
            "content_type",
            Kind.STRING,
            "As the source has it; null for events without content.",
        ),
        Column("event_type", Kind.STRING, "As the source has it; null where the source has null."),
        _EVENTS,
        _USERS,
        _SECONDS,
    ),
)

MARTS = (DAILY_CONTENT, DAILY_DEVICE, HOURLY)
