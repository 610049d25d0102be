"""What the supervisor does with each end of an attempt, and what it says of the loop meanwhile."""

import logging
from collections.abc import Callable

import pytest

from engagement_platform.domain.errors import EngagementError, Refused, StreamStopped, Superseded, Unavailable
from engagement_platform.domain.loop_state import Activity
from engagement_platform.stream import lag
from engagement_platform.stream.control import Claim, Standalone, look_at_nothing
from engagement_platform.stream.supervisor import LOOK_AGAIN_SECONDS, Supervision, supervise
from engagement_platform_tests.streaming import wait_for

log = logging.getLogger("engagement_platform.test")


class Attempts:
    """Meets the errors given, one an attempt, notes the state after each, and works at the end."""

    def __init__(self, control: Standalone, *errors: Exception) -> None:
        self.control = control
        self.errors = list(errors)
        self.kinds: list[Activity] = []

    def __call__(self, supervision: Supervision) -> None:
        self.kinds.append(self.control.progress.state.kind)
        supervision.claim()
        if self.errors:
            raise self.errors.pop(0)
        supervision.works()
        self.kinds.append(self.control.progress.state.kind)


class Impatient(Standalone):
    """Claims are counted, and nothing is waited for."""

    claims = 0

    def claim(self, look: Callable[[], None] = look_at_nothing) -> None:
        self.claims += 1

    def wait(self, seconds: float) -> bool:
        return self.should_stop()


def unknown() -> int | None:
    return None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unavailable("Redis does not answer.", server="Redis"), Activity.WAITS),
        (Refused("Redis refuses the login.", server="Redis"), Activity.REFUSED),
        (StreamStopped("The topic is another.", "Run this."), Activity.STOPPED),
        (EngagementError("A setting is odd."), Activity.STOPPED),
        (ValueError("what nobody foresaw"), Activity.WAITS),
    ],
)
def test_a_loop_goes_on_after_an_error_claims_once_and_says_what_it_waits_for(error: Exception, kind: Activity) -> None:
    control = Impatient()
    attempts = Attempts(control, error, error)
    supervise(control, attempts, log=log, count_lag=unknown)
    assert attempts.kinds == [Activity.STARTS, kind, kind, Activity.STREAMS]
    assert control.claims == 1


@pytest.mark.parametrize("error", [StreamStopped("The topic is another."), ValueError("what nobody foresaw")])
def test_a_drain_raises_what_will_not_pass(error: Exception) -> None:
    control = Standalone(drain=True)
    with pytest.raises(type(error)):
        supervise(control, Attempts(control, error), log=log, count_lag=unknown)


def test_another_run_ends_it_quietly() -> None:
    control = Impatient()
    attempts = Attempts(control, Superseded("Another run has taken over."))
    supervise(control, attempts, log=log, count_lag=unknown)
    assert len(attempts.kinds) == 1


def test_it_says_who_went_and_who_answers_again_once(caplog: pytest.LogCaptureFixture) -> None:
    control = Impatient()
    away = Unavailable("Redis at h:1 does not answer.", server="Redis at h:1")
    with caplog.at_level(logging.WARNING, log.name):
        supervise(control, Attempts(control, away, away, away), log=log, count_lag=unknown)
    first, last = (record.message for record in caplog.records)
    assert first == "Redis at h:1 does not answer. Waiting for it; nothing is lost."
    assert last.startswith("Redis at h:1 answers again after ")


def test_the_beginning_of_an_outage_stays_and_the_lag_is_counted_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "COUNT_SECONDS", 0.0)
    control = Standalone()
    lags: list[Callable[[], int]] = [lambda: 7, _not_to_be_asked]
    sinces: list[float] = []

    def attempt(_: Supervision) -> None:
        sinces.append(control.progress.state.since)
        if len(sinces) == 2:
            wait_for(lambda: control.progress.lag == 7, "the lag")
        if len(sinces) == 3:
            wait_for(lambda: control.progress.lag is None, "an unknown lag")
        if len(sinces) < 4:
            raise Unavailable("Kafka does not answer.", server="Kafka")

    supervise(control, attempt, log=log, count_lag=lambda: lags.pop(0)() if lags else 0)
    assert sinces[1] == sinces[2] == sinces[3] > sinces[0]


def _not_to_be_asked() -> int:
    raise Unavailable("Kafka does not answer.")


class LongAway(Impatient):
    """Its turn comes when a person has put the error right."""

    right = False

    def claim(self, look: Callable[[], None] = look_at_nothing) -> None:
        super().claim(look)
        self.right = True

    def wait(self, seconds: float) -> bool:
        raise AssertionError("it waited with an error of before its turn")


def test_what_stopped_a_run_before_its_turn_is_looked_at_again_when_the_turn_comes() -> None:
    control = LongAway()

    def attempt(supervision: Supervision) -> None:
        if not control.right:
            raise StreamStopped("Redis evicts keys.", "Set its policy.")
        supervision.claim()
        supervision.works()

    supervise(control, attempt, log=log, count_lag=unknown)
    assert control.claims == 1
    assert control.progress.state.kind is Activity.STREAMS


class Resumed(Impatient):
    """The Control of a loop that was paused after its run had claimed."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.claim = Claim(super().claim)  # type: ignore[method-assign]
        self.claim()

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.should_stop()


def test_a_loop_that_goes_on_after_a_pause_has_had_its_turn() -> None:
    control, errors = Resumed(), [StreamStopped("Redis evicts keys.")]

    def attempt(supervision: Supervision) -> None:
        if errors:
            raise errors.pop()
        supervision.claim()

    supervise(control, attempt, log=log, count_lag=unknown)
    assert control.claims == 1
    assert control.waits == [LOOK_AGAIN_SECONDS]


def test_a_loop_that_is_stopped_before_its_turn_ends_when_another_run_takes_the_turn() -> None:
    class Late(Impatient):
        def claim(self, look: Callable[[], None] = look_at_nothing) -> None:
            super().claim(look)
            assert self.claims == 1, "it asked again, and would for ever"
            raise Superseded("Run b has taken over.")

    control = Late()
    supervise(control, _evicts, log=log, count_lag=unknown)
    assert control.claims == 1


class CutTwice(Impatient):
    """While it waits, its connection is lost twice; then its turn comes."""

    def claim(self, look: Callable[[], None] = look_at_nothing) -> None:
        super().claim(look)
        look()


def test_each_cut_while_a_run_waits_for_its_turn_is_said_with_its_end(caplog: pytest.LogCaptureFixture) -> None:
    control = CutTwice()
    cuts = [Unavailable("The source does not answer.", server="the source") for _ in range(2)]

    def look() -> None:
        if cuts:
            raise cuts.pop()

    def attempt(supervision: Supervision) -> None:
        supervision.claim(look)
        raise Superseded("The test ends.")

    with caplog.at_level(logging.WARNING, log.name):
        supervise(control, attempt, log=log, count_lag=unknown)
    assert control.claims == 3
    said = [record.message.partition(" after ")[0] for record in caplog.records]
    assert said == ["The source does not answer. Waiting for it; nothing is lost.", "The source answers again"] * 2


def _evicts(_: Supervision) -> None:
    raise StreamStopped("Redis evicts keys.", "Set its policy.")


def test_a_server_is_not_said_to_be_away_for_as_long_as_something_else_stopped_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    control = Impatient()
    away = Unavailable("Redis at h:1 does not answer.", server="Redis at h:1")
    with caplog.at_level(logging.WARNING, log.name):
        supervise(control, Attempts(control, away, StreamStopped("It evicts keys.")), log=log, count_lag=unknown)
    assert [record.message for record in caplog.records] == [
        "Redis at h:1 does not answer. Waiting for it; nothing is lost.",
        "It evicts keys.",
    ]


def test_the_lag_is_counted_beside_a_fault_that_nobody_foresaw() -> None:
    control = Standalone()
    control.progress.lag = 1
    attempts: list[None] = []

    def attempt(_: Supervision) -> None:
        attempts.append(None)
        if len(attempts) == 1:
            raise ValueError("what nobody foresaw")
        wait_for(lambda: control.progress.lag == 7, "the lag")

    supervise(control, attempt, log=log, count_lag=lambda: 7)


def test_what_each_attempt_says_is_logged_once_until_the_loop_works(caplog: pytest.LogCaptureFixture) -> None:
    control = Impatient()
    attempts: list[None] = []

    def attempt(supervision: Supervision) -> None:
        supervision.claim()
        attempts.append(None)
        log.warning("The group has lost its offsets.")
        if len(attempts) == 4:
            supervision.works()
        if len(attempts) < 7:
            raise [StreamStopped("The topic is another."), ValueError("once"), ValueError("twice")][len(attempts) % 3]

    with caplog.at_level(logging.WARNING, log.name):
        supervise(control, attempt, log=log, count_lag=unknown)
    said = [record.message.partition(" It begins")[0] for record in caplog.records]
    assert said.count("The group has lost its offsets.") == 2
    assert said.count("The topic is another.") == 2
    log.warning("The group has lost its offsets.")
    log.warning("The group has lost its offsets.")
    assert len(caplog.records) == len(said) + 2, "outside of a loop nothing is filtered"
