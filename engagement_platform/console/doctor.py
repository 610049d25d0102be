"""doctor: is everything there that the platform needs, and what to do where it is not.

Each check looks at one thing and returns findings; none changes anything.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from engagement_platform.adapters.kafka.topics import shown_topics, topic_configuration
from engagement_platform.adapters.partner.client import reach
from engagement_platform.adapters.platform import mirror
from engagement_platform.adapters.platform.connection import Session
from engagement_platform.adapters.platform.leases import Leases, loops_of
from engagement_platform.adapters.platform.rights import read_rights
from engagement_platform.adapters.redis.connection import connect_redis
from engagement_platform.adapters.redis.counts import eviction_policy
from engagement_platform.adapters.source.origin import origin_of
from engagement_platform.adapters.stream_table import table_now
from engagement_platform.adapters.streams import settings_of_location, strange_variables, stream_of
from engagement_platform.adapters.warehouse.connect import open_warehouse
from engagement_platform.console.finding import Finding, Level
from engagement_platform.console.source_checks import of_source
from engagement_platform.domain.addresses import origin
from engagement_platform.domain.errors import EngagementError, Unavailable, redact
from engagement_platform.domain.status import overload_in_words
from engagement_platform.domain.table import Table
from engagement_platform.domain.topics import Topic, demands, unmet
from engagement_platform.history.table import tables_of
from engagement_platform.settings import ADDRESSES, FIELDS, SecretFile, Settings, variable
from engagement_platform.stream.registry import LOOPS, NAMES
from engagement_platform.stream.topic_watch import names_of, window_of


@dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it is in force."""

    variable: str
    value: str
    is_default: bool
    meaning: str


def effective(settings: Settings) -> list[Effective]:
    """Return every setting without secrets."""
    given = settings.given()
    return [
        Effective(
            settings.variable_of(name),
            _shown(name, settings[name]),
            name not in given,
            field.description or "",
        )
        for name, field in FIELDS.items()
    ]


def _shown(name: str, value: object) -> str:
    """Return a value as it may be seen: of what is secret only a well-formed address, without its password."""
    if not isinstance(value, SecretStr):
        return "" if value is None else redact(str(value))
    return f"{_hidden(name, value)} from {value.file}" if isinstance(value, SecretFile) else _hidden(name, value)


def _hidden(name: str, secret: SecretStr) -> str:
    """Return what may be seen of a secret."""
    text = secret.get_secret_value()
    if not text:
        return ""
    is_address = name in ADDRESSES and ADDRESSES[name](text) is None
    if is_address and name in ("api_url", "alert_url"):
        return origin(text)  # the path of such an address is often a secret
    return _without_options(redact(text)) if is_address else "***"


def _without_options(address: str) -> str:
    """Return a URL without its options: a part of a password that was not escaped may be among them."""
    head, mark, _ = address.partition("?")
    return f"{head}?***" if mark and "://" in head else address


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at each server and each right of a stream in turn, and at what all streams share."""
    yield from examine_stream(settings)
    yield from examine_common()


def examine_common() -> Iterator[Finding]:
    """Look at what all streams share: Dagster, and the names of variables."""
    yield from _dagster()
    yield from _alerts()
    yield from (Finding("fault", error.what, error.todo) for error in strange_variables())


def examine_stream(settings: Settings) -> Iterator[Finding]:
    """Look at each server and each right of a stream in turn. A server that does not answer is one fault."""
    for check in CHECKS:
        try:
            yield from check(settings)
        except EngagementError as error:
            yield Finding("fault", error.what, error.todo)


def _source(settings: Settings) -> Iterator[Finding]:
    yield from of_source(origin_of(settings))


def _platform(settings: Settings) -> Iterator[Finding]:
    for rights in read_rights(settings):
        if rights.missing:
            yield Finding(
                "fault",
                f"platform database: the role {rights.role} lacks rights for the schema {rights.schema}",
                f"Let an administrator run, in the database {rights.database}: {'; '.join(rights.missing)}",
            )
        else:
            state = "is there, with the rights for it" if rights.is_there else "is made at the first start"
            yield Finding("ok", f"platform database: answers; the schema {rights.schema} {state}")


def _load(settings: Settings) -> Iterator[Finding]:
    """Tell whether more is offered than is done; a database that cannot tell has a finding of its own."""
    with suppress(EngagementError), Session(settings, "doctor") as session:
        lease = Leases(session).latest().lease
        loops = loops_of(session, lease.run_id) if lease else {}
        if overload := overload_in_words([loops[name] for name in NAMES if name in loops]):
            yield Finding("warning", overload, "More processors; see docs/operating.md, More than it can do.")


def _kafka(settings: Settings) -> Iterator[Finding]:
    used = {topic for loop in LOOPS for topic in loop.topics}
    names = {topic: name for topic, name in names_of(settings).items() if topic in used}
    shown = shown_topics(settings.kafka, *names.values())
    yield Finding("ok", f"Kafka: {settings.kafka.bootstrap_servers} answers")
    for topic, name in names.items():
        yield from _topic(settings, topic, name) if name in shown else [_missing(settings, name)]


def _missing(settings: Settings, topic: str) -> Finding:
    """Tell a topic that is still to be created from one whose name is mistyped, or that was deleted."""
    try:
        published = mirror.topics(settings) if topic in (settings.topics.events, settings.topics.checkpoint) else ()
    except EngagementError:
        published = ()  # the platform database has a finding of its own
    if not published:
        return Finding("note", f"Kafka: topic {topic} is not there yet", "The first start creates it.")
    name = settings.variable_of("topic" if topic == settings.topics.events else "checkpoint_topic")
    return Finding(
        "warning",
        f"Kafka: topic {topic} is not there, though a relay has published to {', '.join(published)}",
        f"If {name} is mistyped, put it right: with another name a stream of its own begins. If the topic was deleted, "
        "see docs/operating.md, When a server is lost.",
    )


def _topic(settings: Settings, topic: Topic, name: str) -> Iterator[Finding]:
    """Look at what the loops look at again while they run. A demand that stops none of them is a note."""
    present = {name: topic_configuration(settings.kafka, name)}
    broken = list(unmet(demands(window_of(settings.views).replay_ms), {topic: name}, present))
    for one in broken:
        level: Level = "fault" if one.demand.stops else "note"
        yield Finding(level, one.what, one.remedy(settings.kafka.bootstrap_servers))
    if not broken:
        yield Finding("ok", f"Kafka: topic {name} is configured as the loops rely on")


def _redis(settings: Settings) -> Iterator[Finding]:
    with connect_redis(settings.redis) as client:
        policy = eviction_policy(client)
    if policy == "noeviction":
        yield Finding("ok", "Redis: answers, maxmemory-policy is noeviction")
    else:
        yield Finding(
            "fault",
            f"Redis: maxmemory-policy is {policy}, which could evict counts and keep the offsets",
            "redis-cli CONFIG SET maxmemory-policy noeviction, and in its configuration",
        )


def _warehouse(settings: Settings) -> Iterator[Finding]:
    warehouse = open_warehouse(settings)
    name = {"bigquery": "BigQuery", "delta": "Delta Lake"}[settings.warehouse.kind]
    uri = redact(settings.effective_warehouse_uri)
    for table in tables_of(stream_of(settings), *_table_of_stream(settings)):
        if warehouse.has(table):
            yield Finding("ok", f"warehouse: {name} in {uri} has {table.name}, as the platform needs it")
        else:
            yield Finding("note", f"warehouse: no table {table.name} in {uri} yet", "The first write creates it.")


def _table_of_stream(settings: Settings) -> Iterator[Table]:
    """Yield the table, where a database tells its columns; one that does not answer has a finding of its own."""
    with suppress(Unavailable):
        yield table_now(settings)


def _partner(settings: Settings) -> Iterator[Finding]:
    if settings.api.url.get_secret_value():
        yield Finding("ok", reach(settings.api))
    else:
        yield Finding("ok", f"no partner: {settings.variable_of('api_url')} is not set, and nothing is forwarded")


def _dagster() -> Iterator[Finding]:
    home = os.environ.get("DAGSTER_HOME", "")
    if home and (Path(home) / "dagster.yaml").exists():
        yield Finding("ok", f"Dagster: DAGSTER_HOME has a dagster.yaml ({home})")
        yield from _dagster_settings(Path(home) / "dagster.yaml")
    else:
        yield Finding(
            "fault",
            f"Dagster: DAGSTER_HOME is {home or 'not set'}, and there is no dagster.yaml",
            "Let it name the folder with this repository's dagster.yaml, as an absolute path.",
        )


def _alerts() -> Iterator[Finding]:
    from engagement_platform.console.alert_checks import of_alerts

    with suppress(EngagementError):  # settings that cannot be used are a finding already
        yield from of_alerts(settings_of_location())


_OF_DAGSTER = {
    ("run_retries", "enabled"): "a run whose process is killed is not launched again",
    ("run_monitoring", "enabled"): "a run that never starts, or is never canceled, stays for ever",
    (
        "run_coordinator",
        "config",
        "max_user_code_failure_retries",
    ): "a run that meets a slow code server fails for good",
}
"""What dagster.yaml has to switch on, and what happens without it."""


def _dagster_settings(file: Path) -> Iterator[Finding]:
    import yaml

    try:
        chosen = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        yield Finding("fault", f"Dagster: {file} cannot be read: {error}", "Compare it with this repository's.")
        return
    for path, consequence in _OF_DAGSTER.items():
        if not _within(chosen, path):
            yield Finding("note", f"Dagster: {'.'.join(path)} is not set: {consequence}", f"Set it in {file}.")
    wanted = _within(chosen, ("storage", "postgres", "postgres_url", "env"))
    if wanted == variable("platform_dsn") and not os.environ.get(wanted):
        yield Finding(
            "fault",
            f"Dagster: {file} reads {wanted}, which is not set",
            f"Let its storage be as in this repository's, which reads {wanted}_FILE, too, or set the variable.",
        )


def _within(chosen: object, path: tuple[str, ...]) -> object:
    """Return what stands at a path of a configuration; None where nothing does."""
    for name in path:
        chosen = chosen.get(name) if isinstance(chosen, dict) else None
    return chosen


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _source,
    _platform,
    _load,
    _kafka,
    _redis,
    _warehouse,
    _partner,
)
