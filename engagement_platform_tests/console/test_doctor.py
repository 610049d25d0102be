import psycopg
import pytest
from pydantic import SecretStr

from engagement_platform.adapters.kafka.topics import admin, ensure_topics
from engagement_platform.console import doctor
from engagement_platform.settings import Settings
from engagement_platform_tests.conftest import SourceDatabase


def faults(settings: Settings) -> list[str]:
    return [f"{f.what} {f.todo}" for f in doctor.examine(settings) if f.level == "fault" and "Dagster" not in f.what]


def test_a_working_installation_has_no_faults(settings: Settings) -> None:
    ensure_topics(settings)
    assert faults(settings) == []


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
    with admin(settings) as client:
        client.create_topics({settings.topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    assert any("message.timestamp.type=LogAppendTime" in fault for fault in faults(settings))


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("source_dsn", SecretStr("postgresql://reader:hunter2@127.0.0.1:1/media"), "ENGAGEMENT_SOURCE_DSN"),
        ("platform_dsn", SecretStr("postgresql://platform:hunter2@127.0.0.1:1/x"), "ENGAGEMENT_PLATFORM_DSN"),
        ("redis_url", SecretStr("redis://:hunter2@127.0.0.1:1/0"), "ENGAGEMENT_REDIS_URL"),
        ("kafka_bootstrap_servers", "127.0.0.1:1", "ENGAGEMENT_KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_a_server_that_is_not_there_is_one_fault_that_names_its_setting(
    settings: Settings, field: str, value: object, named: str
) -> None:
    found = faults(settings.model_copy(update={field: value}))
    assert len(found) == 1
    assert named in found[0]
    assert "hunter2" not in str(found)


def test_the_settings_are_shown_without_secrets(settings: Settings) -> None:
    changed = settings.model_copy(
        update={"source_dsn": SecretStr("host=db password=hunter2"), "kafka_sasl_password": SecretStr("hunter2")}
    )
    shown = doctor.effective(changed)
    assert "hunter2" not in str(shown)
    assert {one.variable for one in shown} >= {"ENGAGEMENT_SOURCE_DSN", "ENGAGEMENT_LEASE_SECONDS", "ENGAGEMENT_TOPIC"}
    assert all(one.meaning for one in shown)
