import os
from pathlib import Path
from unittest import mock
from urllib.parse import quote

import psycopg
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from kafka.admin import ConfigResource, ConfigResourceType
from pydantic import SecretStr

from engagement_platform.adapters.kafka.topics import ensure_replay_topic, ensure_topics
from engagement_platform.adapters.platform.leases import Leases
from engagement_platform.adapters.platform.migrate import ensure_schema
from engagement_platform.adapters.source import look
from engagement_platform.adapters.source.reader import Source
from engagement_platform.console import commands, doctor
from engagement_platform.console.doctor import effective
from engagement_platform.console.finding import Finding
from engagement_platform.domain.errors import SettingsError, StreamStopped
from engagement_platform.settings import Settings, load, variable
from engagement_platform.stream.relay import loop as relay
from engagement_platform_tests.conftest import SourceDatabase
from engagement_platform_tests.kafka_admin import admin
from engagement_platform_tests.passwords import CANARY, passwords, quoted
from engagement_platform_tests.streaming import drain
from engagement_platform_tests.streams import PACKAGED
from engagement_platform_tests.warehouse import write


def faults(settings: Settings) -> list[str]:
    return [f"{f.what} {f.todo}" for f in doctor.examine(settings) if f.level == "fault" and "Dagster" not in f.what]


def test_a_working_installation_has_no_faults(settings: Settings) -> None:
    ensure_topics(settings)
    assert faults(settings) == []
    assert any("nothing is forwarded" in finding.what for finding in doctor.examine(settings))


def test_a_stream_that_is_offered_more_than_it_can_do_is_a_warning(settings: Settings) -> None:
    ensure_schema(settings)
    state = {"kind": "saturated", "since": 0, "subject": "Redis", "reason": "Redis is 3 s behind"}
    with Leases.opened(settings, "test") as leases:
        leases.claim("a", leases.register("a", "tally"), 60, ["tally"])
        leases.beat("a", "tally", 1, {"state": state, "behind": 3.0, "done": 10.0})
    warnings = [finding.what for finding in doctor.examine(settings) if finding.level == "warning"]
    begin = "Saturated since 1970-01-01 00:00:00 UTC"
    assert any(begin in warning and "offered ?/s, done 10/s, Redis is 3.0 s behind" in warning for warning in warnings)


def test_a_missing_right_names_the_grant(settings: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        owner.execute("REVOKE SELECT ON content FROM engagement_reader")
    assert any("GRANT SELECT ON content TO engagement_reader" in fault for fault in faults(settings))


def test_a_sequence_with_a_cache_names_the_statement(settings: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        owner.execute("ALTER SEQUENCE engagement_events_id_seq CACHE 20")
    assert any("CACHE 1" in fault and "CACHE 20" in fault for fault in faults(settings))


def test_the_index_is_proposed_until_it_is_there(settings: Settings, source_db: SourceDatabase) -> None:
    notes = [f.todo for f in doctor.examine(settings) if f.level == "note"]
    assert any("CREATE INDEX CONCURRENTLY" in note for note in notes)
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        owner.execute("CREATE INDEX ON engagement_events (event_ts)")
    assert not any("CREATE INDEX" in f.todo for f in doctor.examine(settings))


def test_a_topic_without_log_append_time_is_a_fault(settings: Settings) -> None:
    with admin(settings.kafka) as client:
        client.create_topics(
            {settings.topics.events: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True
        )
    assert any("message.timestamp.type=LogAppendTime" in fault for fault in faults(settings))


def test_it_looks_at_the_topics_of_all_loops_as_they_do(settings: Settings) -> None:
    ensure_topics(settings)
    ensure_replay_topic(settings)
    topics = (settings.topics.events, settings.topics.checkpoint, settings.topics.dead_letters, settings.topics.replays)
    good = [f.what for f in doctor.examine(settings) if f.level == "ok"]
    assert all(f"Kafka: topic {topic} is configured as the loops rely on" in good for topic in topics)
    with admin(settings.kafka) as client:
        for topic, configs in (
            (settings.topics.replays, {"cleanup.policy": "compact"}),
            (settings.topics.dead_letters, {"message.timestamp.type": "CreateTime"}),
            (settings.topics.checkpoint, {"cleanup.policy": "delete"}),
        ):
            client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
    bad = {f.what: f.level for f in doctor.examine(settings) if "Kafka" in f.what and f.level != "ok"}
    levels = {topic: next(level for what, level in bad.items() if f"topic {topic} has" in what) for topic in topics[1:]}
    assert list(levels.values()) == ["fault", "note", "note"], "a note stops nothing"


def test_a_warehouse_without_tables_is_a_note_and_stays_without(settings: Settings) -> None:
    ensure_topics(settings)
    for _ in range(2):
        notes = [f.what for f in doctor.examine(settings) if f.level == "note" and "warehouse" in f.what]
        assert len(notes) == 1 + len(PACKAGED.marts)
    assert not Path(settings.effective_warehouse_uri).exists()


def test_a_folder_that_is_no_table_is_a_fault(settings: Settings) -> None:
    folder = Path(settings.effective_warehouse_uri) / "engagement_events"
    folder.mkdir(parents=True)
    (folder / "notes.txt").touch()
    assert any("is not a Delta table" in fault for fault in faults(settings))


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("source_dsn", SecretStr("postgresql://reader:hunter2@127.0.0.1:1/media"), "ENGAGEMENT_SOURCE_DSN"),
        ("platform_dsn", SecretStr("postgresql://platform:hunter2@127.0.0.1:1/x"), "ENGAGEMENT_PLATFORM_DSN"),
        ("redis_url", SecretStr("redis://:hunter2@127.0.0.1:1/0"), "ENGAGEMENT_REDIS_URL"),
        ("kafka_bootstrap_servers", "127.0.0.1:1", "ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS"),
        ("api_url", SecretStr("http://127.0.0.1:1/hooks/hunter2"), "ENGAGEMENT_API_URL"),
    ],
)
def test_a_server_that_is_not_there_is_one_fault_that_names_its_setting(
    settings: Settings, field: str, value: object, named: str
) -> None:
    found = faults(settings.replace(**{field: value}))
    assert len(found) == 1
    assert named in found[0]
    assert "hunter2" not in str(found)


def test_the_settings_are_shown_without_secrets(settings: Settings) -> None:
    changed = settings.replace(
        source_dsn=SecretStr("host=db password=hunter2"), kafka_sasl_password=SecretStr("a=hunter2")
    )
    shown = effective(changed)
    assert "hunter2" not in str(shown)
    assert "host=db password=***" in {one.value for one in shown}
    assert {one.variable for one in shown} >= {"ENGAGEMENT_SOURCE_DSN", "ENGAGEMENT_LEASE_SECONDS", "ENGAGEMENT_TOPIC"}
    assert all(one.meaning for one in shown)


UNREACHABLE = {
    "source_dsn": (
        "postgresql://u:{}@127.0.0.1:1/media",
        "host=127.0.0.1 port=1 password={q} dbname=media",
        "host=127.0.0.1 port=1 password={}",
    ),
    "platform_dsn": ("postgresql://u:{}@127.0.0.1:1/platform", "postgresql://127.0.0.1:1/platform?password={}"),
    "redis_url": ("redis://:{}@127.0.0.1:1/0", "redis://127.0.0.1:1/0?password={}"),
}


@given(
    passwords(),
    st.sampled_from([(field, form) for field, forms in UNREACHABLE.items() for form in forms]),
    st.booleans(),
)
@example(f"{CANARY}&=1", ("redis_url", UNREACHABLE["redis_url"][1]), False)
@example(f"{CANARY}%a1", ("source_dsn", UNREACHABLE["source_dsn"][0]), False)
@hypothesis_settings(deadline=None)
def test_whatever_the_password_nothing_shows_it(password: str, address: tuple[str, str], encode: bool) -> None:
    field, form = address
    given_as = quote(password, safe="") if encode and "://" in form else password
    values = {name: forms[0].format("x") for name, forms in UNREACHABLE.items()}
    values[field] = form.format(given_as, q=quoted(password))
    settings = Settings.of(**values)
    assert CANARY not in str(effective(settings))
    with mock.patch.dict(os.environ, {variable(name): value for name, value in values.items()}):
        try:
            settings = load()
        except SettingsError:  # what it says is the matter of its own test
            return
    with mock.patch.object(doctor, "CHECKS", (doctor._source, doctor._platform, doctor._redis)):
        found = list(doctor.examine(settings))
    assert {finding.level for finding in found} == {"fault"}
    assert CANARY not in str(found)


def test_a_sequence_in_a_schema_out_of_reach_is_no_fault(settings: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA private")
        owner.execute("CREATE SEQUENCE private.engagement_events_id_seq")
        owner.execute("CREATE SEQUENCE private.other")
    ensure_topics(settings)
    assert faults(settings) == []


@pytest.mark.parametrize(
    "statement",
    [
        "REVOKE SELECT ON SEQUENCE engagement_events_id_seq FROM engagement_reader",
        'CREATE SCHEMA "a.b"; ALTER SEQUENCE engagement_events_id_seq OWNED BY NONE;'
        'ALTER SEQUENCE engagement_events_id_seq SET SCHEMA "a.b"',
    ],
    ids=["right", "schema"],
)
def test_a_role_that_does_not_see_the_sequence_is_told_what_to_grant(
    settings: Settings, source_db: SourceDatabase, statement: str
) -> None:
    def unseen() -> list[Finding]:
        return [each for each in doctor.examine(settings) if "sequence of engagement_events" in each.what]

    ensure_topics(settings)
    assert not unseen()
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        owner.execute(statement.encode())
        (told,) = unseen()
        assert told.level == "note"
        owner.execute(told.todo.removeprefix("Ask the owner to run: ").encode())
    assert not unseen()


@pytest.mark.parametrize("read", ["highest_id", "highest_given", "holders"])
def test_every_read_of_the_relay_is_tried(settings: Settings, monkeypatch: pytest.MonkeyPatch, read: str) -> None:
    def refused(_: Source) -> int:
        raise StreamStopped(f"The source refuses {read}.")

    monkeypatch.setattr(Source, read, refused)
    assert f"The source refuses {read}. " in faults(settings)


def test_a_table_that_is_not_there_is_named(settings: Settings, source_db: SourceDatabase) -> None:
    with psycopg.connect(source_db.writer_dsn, autocommit=True) as owner:
        owner.execute("DROP TABLE engagement_events, content")
    found = str(faults(settings))
    assert "lacks table content" in found
    assert "lacks table engagement_events" in found


def test_a_connection_that_breaks_is_a_fault(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise psycopg.OperationalError("the server closed the connection\nunexpectedly")

    monkeypatch.setattr(look, "_is", breaks)
    found = faults(settings)
    assert any(
        "The source does not answer (OperationalError: the server closed the connection unex" in f for f in found
    )


def test_brackets_are_shown_as_they_are(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = settings.replace(kafka_sasl_username="[/red]events[bold]")
    fault = Finding("fault", "Kafka: [/red]events[bold] is not there", "Make [it].")
    monkeypatch.setattr("engagement_platform.settings.load", lambda _: changed)
    monkeypatch.setattr(doctor, "examine", lambda _: [fault])
    shown = CliRunner().invoke(commands.doctor, env={"COLUMNS": "300"})
    assert shown.exit_code == 1
    assert shown.output.count("[/red]events[bold]") == 2
    assert "✗ Kafka: [/red]events" in shown.output
    assert "Make [it]." in shown.output


@pytest.mark.parametrize("mistyped", ["topic", "checkpoint_topic"])
def test_a_mistyped_topic_beside_a_checkpoint_is_a_warning(
    settings: Settings, source_db: SourceDatabase, mistyped: str
) -> None:
    ensure_schema(settings)
    before = [f for f in doctor.examine(settings) if "is not there" in f.what]
    assert {f.level for f in before} == {"note"}, "nothing has streamed yet"
    with psycopg.connect(source_db.writer_dsn) as writer:
        write(writer, 1)
    drain(relay.run, settings)
    other = settings.replace(**{mistyped: f"{settings[mistyped]}-mistyped"})
    (found,) = (f for f in doctor.examine(other) if f.level == "warning")
    assert f"though a relay has published to {settings.topics.events}" in found.what
    assert found.todo.startswith(f"If ENGAGEMENT_{mistyped.upper()} is mistyped")


def test_checks_come_first_then_what_is_set_with_whole_names(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engagement_platform.settings.load", lambda _: settings)
    monkeypatch.setattr(doctor, "examine", lambda _: [Finding("ok", "Kafka: it is there")])
    shown = CliRunner().invoke(commands.doctor, env={"COLUMNS": "60"}).output
    assert shown.index("Kafka: it is there") < shown.index("ENGAGEMENT_SOURCE_DSN")
    assert "ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS" in shown
    assert "ENGAGEMENT_START_LOOKBACK_IDS" not in shown
    assert "other settings have their default: --all-settings shows them." in shown
    every = CliRunner().invoke(commands.doctor, ["--all-settings"], env={"COLUMNS": "60"}).output
    assert "ENGAGEMENT_START_LOOKBACK_IDS" in every


def test_a_dagster_yaml_that_reads_a_variable_which_only_has_a_file_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("storage: {postgres: {postgres_url: {env: ENGAGEMENT_PLATFORM_DSN}}}")

    def faults() -> list[str]:
        return [found.what for found in doctor._dagster() if found.level == "fault"]

    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://h/platform")
    assert faults() == []
    monkeypatch.delenv("ENGAGEMENT_PLATFORM_DSN")
    assert "reads ENGAGEMENT_PLATFORM_DSN, which is not set" in faults()[0]


def test_a_dagster_yaml_that_leaves_dead_runs_alone_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    file = tmp_path / "dagster.yaml"

    def noted() -> list[str]:
        return [found.what for found in doctor._dagster() if found.level != "ok"]

    file.write_text((Path(__file__).parents[2] / "dagster.yaml").read_text())
    assert noted() == []
    file.write_text("run_monitoring: {enabled: true}\nrun_coordinator: nonsense\n")
    retries, coordinator = noted()
    assert "run_retries.enabled is not set: a run whose process is killed" in retries
    assert "max_user_code_failure_retries" in coordinator
    file.write_text("")
    assert len(noted()) == 3
    file.write_text("{")
    (fault,) = noted()
    assert "cannot be read" in fault


def test_settings_alone_are_looked_at_without_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENGAGEMENT_SOURCE_DSN", raising=False)
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://nobody@127.0.0.1:1/none")
    missing = CliRunner().invoke(commands.doctor, ["--settings"])
    assert missing.exit_code == 1
    assert "ENGAGEMENT_SOURCE_DSN: it is not set." in missing.stderr
    assert "with compose they belong in the file .env beside the README" in missing.stderr

    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", "postgresql://nobody@127.0.0.1:1/none")
    assert CliRunner().invoke(commands.doctor, ["--settings"]).exit_code == 0


def test_settings_that_keep_one_stream_from_running_do_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    usable, broken = mock.sentinel.settings, SettingsError("It is broken.", "Mend it.")
    monkeypatch.setattr("engagement_platform.console.streams.settings_of_each", lambda _: {"a": usable, "b": broken})
    done = CliRunner().invoke(commands.doctor, ["--settings"])
    assert (done.exit_code, done.stderr) == (0, "error: stream b: It is broken.\nwhat to do: Mend it.\n")


@pytest.mark.parametrize("is_local", [True, False])
def test_the_local_stack_is_named_where_it_was_started_alone(
    is_local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENGAGEMENT_SOURCE_DSN", raising=False)
    if is_local:
        Path(".engagement").mkdir()
        Path(".engagement/local.env").touch()
    with pytest.raises(SettingsError) as refused:
        load()
    assert (". .engagement/local.env" in refused.value.todo) is is_local
