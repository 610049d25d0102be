"""More is offered than can be done, for a while: Redis goes first, everybody can see it, and all of it is caught up.

The long form, with twice of what is possible for two minutes, is `make soak ARGS=overload`.
"""

import re
import threading
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from engagement_platform.adapters.kafka.topics import ensure_topics
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases, loops_of
from engagement_platform.adapters.redis.views import Views
from engagement_platform.domain import overload
from engagement_platform.domain.loop_state import Activity, LoopState
from engagement_platform.domain.progress import BEHIND, DONE, OFFERED, SHARE
from engagement_platform.domain.status import summarize
from engagement_platform.local.receiver import Receiver
from engagement_platform.settings import Settings
from engagement_platform.stream import lease as module
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.give_way import GiveWay
from engagement_platform.stream.lease import hold_lease
from engagement_platform.stream.registry import NAMES
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.streaming import insert, lease_run, wait_for
from engagement_platform_tests.warehouse import table_ids

EVENTS, AT_ONCE = 20_000, 4_000


def test_all_of_an_overload_is_caught_up_and_meanwhile_it_is_a_state(
    settings: Settings, source_db: SourceDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("SATURATED_FROM", 0.4), ("SATURATED_FOR", 0.2), ("CAUGHT_UP", 0.2)):
        monkeypatch.setattr(overload, name, seconds)
    seen: dict[str, set[Activity]] = {name: set() for name in NAMES}
    shares: set[float] = set()
    sentences: list[str] = []
    with Receiver() as partner, Session(settings, "test") as session:
        own = settings.replace(api_url=SecretStr(partner.url), warehouse_uri=str(tmp_path / "table"), stage_seconds=1)
        ensure_topics(own)
        with lease_run(own) as controls, psycopg.connect(source_db.writer_dsn, autocommit=True) as writer:
            everything = set(insert(writer))
            views = Views.connect(own)
            wait_for(lambda: views.totals().count and partner.deliveries, "the first event everywhere")
            for _ in range(EVENTS // AT_ONCE):
                everything |= set(insert(writer, AT_ONCE))

            def look() -> bool:
                for name, control in controls.items():
                    seen[name].add(control.progress.state.kind)
                    shares.add(control.progress.figures().gauge(SHARE) or 1.0)
                present = summarize(Leases(session).snapshot(), loops_of(session, "a"), {}, NAMES)
                sentences.append(present.sentence)
                return present.well and views.totals().count == len(everything)

            wait_for(look, "all of it in Redis, and all well")
            wait_for(lambda: {one.event_id for one in partner.deliveries} == everything, "all of it at the partner")
            wait_for(lambda: len(table_ids(own)) == len(everything), "all of it in the warehouse")
            assert set(table_ids(own)) == everything
            views.close()
    assert Activity.SATURATED in seen["tally"]
    assert Activity.GIVES_WAY in seen["stage"] & seen["forward"], "Redis goes first"
    assert Activity.GIVES_WAY not in seen["relay"] | seen["tally"], "which need what they can get"
    assert min(shares) < 0.5
    assert {control.progress.figures().gauge(SHARE) for control in controls.values()} == {None, 1.0}
    told = re.compile(r"Saturated since .* UTC, offered [0-9,]+/s, done [0-9,]+/s, Redis is [0-9.]+ s behind")
    assert any(told.match(sentence) for sentence in sentences), sentences


def test_others_learn_of_the_tally_of_their_run_soon_and_only_while_it_is_at_work(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOLD_WITHIN", 1.0)
    loops = ("tally", "stage")
    with (
        hold_lease(settings, run_id="a", loop="tally", loops=loops, lease_seconds=600) as tally,
        hold_lease(settings, run_id="a", loop="stage", loops=loops, lease_seconds=600) as stage,
    ):
        for control in (tally, stage):
            threading.Thread(target=control.claim, daemon=True).start()
        wait_for(lambda: tally.epoch and stage.epoch, "the claims")
        assert stage.behind() == 0.0
        tally.progress.streams()
        tally.progress.set(BEHIND, 7.0)
        tally.progress.is_news = True
        wait_for(lambda: stage.behind() == 7.0, "the stage to know it", 3)
        with Session(settings, "test") as session:
            wait_for(lambda: loops_of(session, "a")["tally"].figures.gauge(DONE) == 0.0, "rates")
            assert loops_of(session, "a")["tally"].figures.gauge(OFFERED) is None, "nobody knows what waits"
        tally.progress.enter(LoopState(Activity.PAUSED, 0.0, "me", "Redis moves"))
        wait_for(lambda: stage.behind() == 0.0, "a paused tally to hold up nobody", 3)
        tally.progress.streams()
        wait_for(lambda: stage.behind() == 7.0, "the stage to know it", 3)
        monkeypatch.setattr(module, "loop_of", None)  # as where the platform database does not answer
        wait_for(lambda: stage.behind() == 0.0, "what was said long ago to hold up nobody", 3)


def test_it_rests_while_redis_is_behind_and_not_for_a_run_that_drains() -> None:
    control, drain = Standalone(), Standalone(drain=True)
    giving, draining = GiveWay(control), GiveWay(drain)
    assert giving.seconds() == 0.0
    assert giving.state() is None
    control.redis_is_behind = drain.redis_is_behind = 3.0
    sum(range(2_000_000))
    assert giving.seconds() > 0.05
    assert draining.seconds() == 0.0
    state = giving.state()
    assert state is not None
    assert (state.kind, state.subject) == (Activity.GIVES_WAY, "Redis")
    assert state.reason == "it is 3.0 s behind, and this takes 10% of its time"
    control.redis_is_behind = 0.0
    assert giving.seconds() == 0.0
    assert giving.state() is None
