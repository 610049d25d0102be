"""The sensor that tells people what is wrong, and when it is over. It reads, asks `domain.alerts`, and delivers.

It runs in Dagster's daemon, beside the stream, so that it also tells that nobody streams. What it costs: a look each
ten seconds is two connections to the platform's database and some small queries, 9 ms of a processor; Dagster's own
facts, and whether there are new letters, are read every thirty seconds, in 50 ms more. Together 0.3 % of a core.
Without a webhook it is off.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from engagement_platform.adapters.platform.alerts import Alerts
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.streams import settings_of_location, streams
from engagement_platform.domain.conditions import Condition, Kind
from engagement_platform.domain.errors import EngagementError, SettingsError, Unavailable
from engagement_platform.domain.judgement.dagster import KINDS, dagster_conditions
from engagement_platform.domain.open_letters import LetterCounts
from engagement_platform.health import outage
from engagement_platform.health.alerts import Delivered, deliver, note
from engagement_platform.health.conditions import conditions_of
from engagement_platform.health.letters import LetterWatch
from engagement_platform.health.read import Status, status_in
from engagement_platform.orchestration.dagster_facts import FactsReader, Watched
from engagement_platform.orchestration.private import location_of_sensor
from engagement_platform.settings import Alerting, Settings, about, alerting, is_anybody_told, load

NAME = "tell_what_is_wrong"
LOOK_SECONDS = 8
"""The loop of sensors wakes every 5 s: a look comes every 10 s."""
SLOW_SECONDS = 30.0
"""How often what takes longer is read."""
LETTERS_SECONDS = 10.0
"""For how long letters are read at a look. Of a Kafka that does not answer, one stream takes that long: a look that
waited so for each of many would come too late to tell anything."""

_UNREAD = "They have not been read yet."


@dataclass(eq=False)
class Look:
    """What one process remembers from look to look, so as not to read again what seldom changes."""

    watched: Callable[[], Watched]
    """Says what Dagster has of the streams; asked once, for all of it is made anew."""
    has_schema: set[str] = field(default_factory=set)
    """The streams whose schema is known to be there."""
    letters: dict[str, LetterCounts | str] = field(default_factory=dict)
    of_dagster: Sequence[Condition] | None = None
    """None while it is not known."""
    _letter_watches: dict[str, LetterWatch] = field(default_factory=dict)
    _next_letters: str = ""
    """The stream whose letters are read first."""
    _slow_at: float | None = None
    """When that was read last."""
    _watched: Watched | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held by the look that is at work: Dagster asks for another one where this takes more than a minute."""

    def statuses(self) -> Mapping[str, Status | EngagementError]:
        """Read how every stream stands, as far as that can be read."""
        return {name: self._status(name) for name in streams()}

    def _status(self, name: str) -> Status | EngagementError:
        try:
            stream = streams()[name]
            if isinstance(stream, SettingsError):
                raise stream
            with about(name):
                settings = load(name)
                self.ensure_schema(settings)
                with Session(settings, "alerts") as session:
                    return status_in(settings, session, self.letters.get(name, _UNREAD))
        except EngagementError as error:
            self.has_schema.discard(name)  # perhaps it is that
            return error

    def ensure_schema(self, settings: Settings) -> None:
        """Make the schema of a stream unless it is known to be there. Raises Unavailable, or Refused."""
        if settings.stream not in self.has_schema:
            ensure_schema(settings)
            self.has_schema.add(settings.stream)

    def read_slow(self, instance: dg.DagsterInstance) -> None:
        """Read what Dagster knows and how many letters there are, where that is due."""
        now = time.monotonic()
        if self._slow_at is not None and now - self._slow_at < SLOW_SECONDS:
            return
        self.of_dagster = self._dagster(instance)
        self._read_letters()
        self._slow_at = time.monotonic()

    def _read_letters(self) -> None:
        """Read the letters of each stream; where that takes too long the others have the next turn, as they were."""
        until = time.monotonic() + LETTERS_SECONDS
        names = [name for name, stream in streams().items() if not isinstance(stream, SettingsError)]
        first = names.index(self._next_letters) if self._next_letters in names else 0
        for name in names[first:] + names[:first]:
            if time.monotonic() >= until:
                self._next_letters = name
                return
            self.letters[name] = self._letters(name)

    def _dagster(self, instance: dg.DagsterInstance) -> Sequence[Condition] | None:
        try:
            self._watched = self._watched or self.watched()
            facts = FactsReader(instance, self._watched).read(days=False)
        except Unavailable:
            return None
        return dagster_conditions(facts)

    def _letters(self, name: str) -> LetterCounts | str:
        try:
            with about(name):
                watch = self._letter_watches.get(name) or LetterWatch(load(name))
                self._letter_watches[name] = watch
                return watch.counts()
        except EngagementError as error:
            return str(error)

    def sees(self, condition: Condition) -> bool:
        """Say whether a condition would be seen if it were there. One of a stream that is gone cannot be there."""
        if condition.stream and condition.stream not in streams():
            return True
        if condition.kind in KINDS:
            return self.of_dagster is not None
        if condition.kind is Kind.DEAD_LETTERS:
            return isinstance(self.letters.get(condition.stream), LetterCounts)
        return True


def tell_what_is_wrong_of(watched: Callable[[], Watched]) -> dg.SensorDefinition:
    """Return the sensor, which is one for all streams. `watched` says what Dagster has of them."""
    state = Look(watched)

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING if is_anybody_told() else dg.DefaultSensorStatus.STOPPED,
        description="Tells the webhook of ENGAGEMENT_ALERT_URL what is wrong, once, and when it is over.",
    )
    def tell_what_is_wrong(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(tick(context, state))

    return tell_what_is_wrong


def tick(context: dg.SensorEvaluationContext, state: Look) -> str:
    """Look once, tell what is to be told, and say what came of it. A look while another is at work does nothing."""
    if not state.lock.acquire(blocking=False):
        return "The look before has not ended."
    try:
        return _tick(context, state)
    finally:
        state.lock.release()


def _tick(context: dg.SensorEvaluationContext, state: Look) -> str:
    try:
        alert = alerting()
        if not alert.url.get_secret_value():
            return f"{alert.variable('url')} is not set: nobody is told."
        try:
            said = _look(context, state, settings_of_location())
        except (Unavailable, SettingsError) as error:  # the database is away, or no stream's settings can be used
            state.has_schema.clear()
            _tell_that_nothing_can_be_read(context, alert, error)
            return f"{error} What is wrong cannot be kept meanwhile; that it is so is told once."
        _tell_that_nothing_can_be_read(context, alert, None)
    except EngagementError as error:
        context.log.error(str(error))
        return str(error)
    return said


def _look(context: dg.SensorEvaluationContext, state: Look, settings: Settings) -> str:
    """Look at everything. Raises Unavailable where the platform's database is away."""
    state.read_slow(context.instance)
    state.ensure_schema(settings)
    present = conditions_of(state.statuses(), time.time(), state.of_dagster or ())
    with Alerts.opened(settings, "alerts") as alerts:
        for alert in note(alerts, present, state.sees, location_of_sensor(context) or ""):
            context.log.info(f"{'over' if alert.is_over else 'began'}: {alert.condition.what}")
        delivered = _delivered(alerts, settings)
        standing = alerts.standing()
    if delivered.failure:
        context.log.warning(delivered.failure)
    return _in_words(present, delivered, standing.waiting, delivered.failure or standing.answer)


def _delivered(alerts: Alerts, settings: Settings) -> Delivered:
    """Deliver what waits. A key that cannot be used lets it wait: what is wrong is kept all the same."""
    try:
        return deliver(alerts, settings.alert)
    except SettingsError as error:
        return Delivered(failure=str(error))


def _in_words(present: Sequence[Condition], delivered: Delivered, waiting: int, answer: str) -> str:
    wrong = f"{len(present)} thing{'' if len(present) == 1 else 's'} wrong" if present else "All is well"
    said = [f"{wrong}; {delivered.number} alerts delivered." if delivered.number else f"{wrong}."]
    if waiting:
        said.append(f"{waiting} alerts wait for the webhook{f': {answer}' if answer else ''}.")
    return " ".join(said)


def _tell_that_nothing_can_be_read(
    context: dg.SensorEvaluationContext, alert: Alerting, error: EngagementError | None
) -> None:
    """Tell that the platform's database is away, say, or back: Dagster keeps what is remembered, with the cursor.

    Raises SettingsError where a key cannot be used.
    """
    before = context.cursor or ""
    if error is None and not before:
        return
    now = time.time()
    remembered, failure = outage.tell(alert, before, outage.unreadable_all(error, now), now)
    if failure:
        context.log.warning(failure)
    context.update_cursor(remembered)
