"""Every setting: its environment variable, its default, what it means and its unit.

The variable of `lease_seconds` is ENGAGEMENT_LEASE_SECONDS, and so on. Nothing else in the package
reads the environment for configuration.
"""

import os
from collections.abc import Iterator
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from engagement_platform.domain import addresses
from engagement_platform.domain.errors import SettingsError

PREFIX = "ENGAGEMENT_"
_TOPIC = r"^[a-zA-Z0-9._-]{1,249}$"
"""What Kafka takes as the name of a topic."""


class Settings(BaseSettings):
    """The effective configuration of one process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    source_dsn: SecretStr = Field(
        description="PostgreSQL that records the engagement: a URL or key=value DSN. Only read from."
    )
    platform_dsn: SecretStr = Field(
        description="The platform's own PostgreSQL database, for leases and for Dagster's storage: a URL."
    )
    kafka_bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma-separated.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How the brokers are spoken to."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="SASL mechanism, where the brokers ask for one."
    )
    kafka_sasl_username: str | None = Field(None, description="User name for SASL.")
    kafka_sasl_password: SecretStr | None = Field(None, description="Password for SASL.")
    kafka_ssl_cafile: Path | None = Field(
        None, description="File with the authority that signed the brokers' certificates."
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="Redis or Valkey that serves the views."
    )

    topic: str = Field("engagement-events", pattern=_TOPIC, description="Kafka topic of the enriched events.")
    topic_partitions: int = Field(4, ge=1, description="Partitions with which the topic is created.")
    checkpoint_topic: str = Field(
        "engagement-relay-checkpoint", pattern=_TOPIC, description="Compacted topic of the relay's checkpoint."
    )
    dead_letter_topic: str = Field(
        "engagement-dead-letters", pattern=_TOPIC, description="Topic of the events that could not be delivered."
    )
    replay_topic: str = Field(
        "engagement-events-replay",
        pattern=_TOPIC,
        description="Topic of events that were published again on request. Nothing of the platform counts them.",
    )
    replication_factor: int = Field(1, ge=1, description="Replicas with which topics are created.")

    start: Literal["latest", "earliest"] = Field(
        "latest", description="Where the very first start begins: at the newest event, or at the oldest."
    )
    start_lookback_ids: int = Field(
        10_000,
        ge=0,
        description="Ids below the newest among which a first start at `latest` looks for open transactions.",
    )
    lease_seconds: float = Field(
        600, ge=0, description="How long one streaming run lives, in seconds. 0 drains and ends."
    )
    lease_lead_seconds: float | None = Field(
        None,
        ge=0,
        description="How long before the end the next run is launched, in seconds. Without it at once, so that one "
        "always waits and a killed run costs seconds; 60 saves its memory.",
    )
    lease_grace_seconds: float = Field(
        300, ge=0, description="How long a run outlives its lease while no successor has claimed, in seconds."
    )
    relay_batch_rows: int = Field(2_000, ge=1, description="Most events in one read and one Kafka transaction.")
    relay_batch_bytes: int = Field(16 << 20, ge=1, description="Most bytes of messages in one Kafka transaction.")
    relay_busy_poll_ms: float = Field(10, gt=0, description="Pause between polls while events come, in milliseconds.")
    relay_idle_poll_ms: float = Field(
        50, gt=0, description="Longest pause between polls while none come, in milliseconds."
    )
    transaction_timeout_ms: int = Field(
        10_000, ge=1_000, description="After this the broker aborts a frozen relay's transaction, in milliseconds."
    )

    redis_namespace: str = Field(
        "engagement", pattern=r"^[^{}\s]+$", description="Hash tag of all Redis keys: `engagement` gives {engagement}:…"
    )
    window_seconds: int = Field(600, ge=10, description="Length of the sliding window, in seconds of event_ts.")
    bucket_seconds: int = Field(10, ge=1, description="Width of one bucket of the window, in seconds.")
    max_future_seconds: int = Field(
        60, ge=0, description="How far ahead of Redis' clock an event may be and still count, in seconds."
    )

    api_url: SecretStr = Field(
        SecretStr(""), description="The partner's HTTP API, to which events are posted. Empty: nothing is forwarded."
    )
    api_batch_size: int = Field(
        200, ge=1, le=10_000, description="Most events in one request: an array; with 1 it is the object itself."
    )
    api_wait_ms: float = Field(
        50, ge=0, description="For how long an event waits for others to fill its array, in milliseconds."
    )
    api_in_flight: int = Field(8, ge=1, le=64, description="Most requests to the partner at the same time.")
    api_connect_timeout_seconds: float = Field(
        5, gt=0, le=300, description="For how long connecting to the partner may take, in seconds."
    )
    api_read_timeout_seconds: float = Field(
        10, gt=0, le=300, description="For how long a request may take until the partner has answered, in seconds."
    )
    api_retry_seconds: float = Field(
        300,
        ge=0,
        description="For how long an event is tried before it is a dead letter, in seconds; outages do not count.",
    )
    api_breaker_failures: int = Field(
        5, ge=1, description="Consecutive failures that open the circuit breaker: the partner then counts as down."
    )
    api_probe_seconds: float = Field(
        5, gt=0, description="How often a partner that is down is tried with one request, in seconds."
    )
    api_events_per_second: float | None = Field(
        None, gt=0, description="Most events a second to the partner; without it, no limit."
    )
    api_requests_per_second: float | None = Field(
        None, gt=0, description="Most requests a second to the partner; without it, no limit."
    )
    api_proxy: SecretStr = Field(SecretStr(""), description="HTTP proxy on the way to the partner: a URL.")
    api_ca_file: Path | None = Field(
        None, description="File with the authority that signed the partner's certificate, where it is not a public one."
    )
    api_token: SecretStr | None = Field(None, description="Bearer token that is sent to the partner.")
    api_token_file: Path | None = Field(None, description="File with that token; read again when it is refused.")
    api_signing_key: SecretStr | None = Field(
        None, description="Key that signs requests, whsec_<base64>; two with a space between while it is replaced."
    )
    api_signing_key_file: Path | None = Field(None, description="File with that key.")
    api_fields: str = Field(
        "", description="Fields of an event that the partner gets, comma-separated; empty: all of them."
    )
    api_user_id: Literal["keep", "drop", "hash"] = Field(
        "keep", description="What the partner gets as user_id: the id, nothing, or its HMAC-SHA256 with a key."
    )
    api_hash_key: SecretStr | None = Field(None, description="Key with which user_id is hashed.")
    api_hash_key_file: Path | None = Field(None, description="File with that key.")
    forward_group: str = Field(
        "engagement-forward", min_length=1, description="Kafka consumer group with the offsets of what was forwarded."
    )

    warehouse: Literal["delta", "bigquery"] = Field(
        "delta", description="Where history is kept: Delta Lake in a folder or object storage, or BigQuery."
    )
    warehouse_uri: str | None = Field(
        None,
        description="Delta Lake: folder or object storage URL, by default `warehouse` in the state folder. "
        "BigQuery: project.dataset.",
    )
    bigquery_location: str | None = Field(None, description="BigQuery: location of the dataset, such as EU.")
    bigquery_credentials_file: Path | None = Field(
        None, description="BigQuery: key file of a service account; without it, Google's default credentials."
    )
    bigquery_endpoint: str | None = Field(
        None, description="BigQuery: another address of its API, for a private endpoint or a test."
    )
    stage_seconds: float | None = Field(
        None,
        gt=0,
        description="Longest age of a warehouse batch, in seconds; by default 5 with Delta Lake, 30 with BigQuery.",
    )
    stage_batch_rows: int = Field(50_000, ge=1, description="Most events in one warehouse batch.")
    first_day: date = Field(
        date(2024, 1, 1), description="The first day that can be rebuilt and checked, as YYYY-MM-DD in UTC."
    )

    event_types: str = Field(
        "play,pause,finish,click",
        description="Values of event_type that are expected, comma-separated. Others are carried all the same; a check "
        "says that they are new.",
    )
    content_types: str = Field(
        "podcast,newsletter,video",
        description="Values of content_type that are expected, comma-separated. Others are carried all the same; a "
        "check says that they are new.",
    )

    state_dir: Path = Field(
        Path(".engagement"), description="Folder of the embedded local stack and of files in transit."
    )
    retain_runs_hours: float = Field(
        24, gt=0, description="Age at which ended streaming runs are deleted from Dagster, in hours."
    )

    @cached_property
    def effective_lead_seconds(self) -> float:
        """Seconds before a lease's end at which its successor is launched."""
        lead = self.lease_seconds if self.lease_lead_seconds is None else self.lease_lead_seconds
        return min(lead, self.lease_seconds)

    @cached_property
    def effective_stage_seconds(self) -> float:
        """Longest age of a warehouse batch, in seconds."""
        return self.stage_seconds or {"delta": 5.0, "bigquery": 30.0}[self.warehouse]

    @cached_property
    def effective_warehouse_uri(self) -> str:
        """Folder, URL or project.dataset of the warehouse."""
        return self.warehouse_uri or str((self.state_dir / "warehouse").absolute())


ADDRESSES = {
    "source_dsn": addresses.postgres_fault,
    "platform_dsn": addresses.postgres_url_fault,
    "kafka_bootstrap_servers": addresses.brokers_fault,
    "redis_url": addresses.redis_fault,
    "api_url": addresses.http_fault,
    "api_proxy": addresses.proxy_fault,
}
"""How the form of each address is checked."""


def load() -> Settings:
    """Read the settings from the environment, an empty one as one that is not set.

    Raises SettingsError naming each variable at fault, with its value where that cannot be secret.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        faults = [(str(fault["loc"][0]), _in_words(str(fault["loc"][0]), fault)) for fault in error.errors()]
    else:
        faults = [(field, fault) for field, check in ADDRESSES.items() if (fault := check(_text(settings, field)))]
        faults += _shared_topics(settings)
        if not faults:
            return settings
    raise SettingsError(
        f"The configuration cannot be used. {'; '.join(f'{variable(field)}: {fault}' for field, fault in faults)}.",
        "Set the variables, or load those of the local stack: set -a; . .engagement/local.env; set +a",
    )


def _shared_topics(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each setting that names a topic which another one names, too."""
    first: dict[str, str] = {}
    for field in ("topic", "checkpoint_topic", "dead_letter_topic", "replay_topic"):
        owner = first.setdefault(getattr(settings, field), field)
        if owner != field:
            yield field, f"it must be another topic than {variable(owner)}, and both are {getattr(settings, field)!r}"


def _in_words(field: str, fault: ErrorDetails) -> str:
    """Say what a setting must be, and what it is."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return "it is not set"
    must = next(
        (words.format(**context) for begin, words in _MUST_BE.items() if kind.startswith(begin)), "another value"
    )
    value = os.environ.get(variable(field), "")
    is_secret = field in ADDRESSES or "Secret" in str(Settings.model_fields[field].annotation)
    return f"it must be {must}" + ("" if is_secret or not value else f", and is {value!r}")


_MUST_BE = {
    "int_": "a whole number",
    "float_": "a number",
    "date_": "a day such as 2024-01-01",
    "literal_error": "{expected}",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "string_pattern_mismatch": "a text of the form {pattern}",
    "string_too_short": "a text of at least {min_length} characters",
    "finite_number": "a finite number",
}
"""Kind of a fault as pydantic names it, by its beginning -> what the setting must be."""


def _text(settings: Settings, field: str) -> str:
    value = getattr(settings, field)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + field.upper()


def first_day() -> date:
    """Return ENGAGEMENT_FIRST_DAY, whether or not the other settings are there. Raises SettingsError."""
    try:
        return _FirstDay().first_day
    except ValidationError:
        raise SettingsError(
            f"{variable('first_day')} is not a date.", "Set it to a day such as 2024-01-01, or leave it out."
        ) from None


class _FirstDay(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", env_ignore_empty=True)

    first_day: date = date(2024, 1, 1)
