"""Every setting in its section: its name, its default, what it means and its unit."""

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from engagement_platform.domain.shards import MOST_SHARDS
from engagement_platform.settings.section import Own, Section, Shared, named

_TOPIC = r"^[a-zA-Z0-9._-]{1,249}$"
"""What Kafka takes as the name of a topic."""


class Source(Section, alias_generator="source_{}".format):
    """Where the events appear."""

    dsn: SecretStr = Field(
        description="PostgreSQL that records the engagement: a URL or key=value DSN. Only read from."
    )


class Platform(Section, alias_generator="platform_{}".format):
    """Where the platform keeps what it knows."""

    dsn: Shared[SecretStr] = Field(
        description="The platform's own PostgreSQL database, for leases and for Dagster's storage: a URL."
    )


class Kafka(Section, alias_generator="kafka_{}".format):
    """How Kafka is reached."""

    client: Shared[Literal["kafka-python", "librdkafka"]] = Field(
        "kafka-python",
        description="Library that speaks to Kafka: kafka-python, or librdkafka (extra `fast`), which takes a fraction "
        "of the processor.",
    )
    bootstrap_servers: str = Field("127.0.0.1:9092", description="Kafka brokers, host:port, comma-separated.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How the brokers are spoken to."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="SASL mechanism, where the brokers ask for one."
    )
    sasl_username: str | None = Field(None, description="User name for SASL.")
    sasl_password: SecretStr | None = Field(None, description="Password for SASL.")
    ssl_cafile: Path | None = Field(None, description="File with the authority that signed the brokers' certificates.")
    ssl_certfile: Path | None = Field(
        None,
        description="File with the certificate that the brokers ask of a client, and those between it and its "
        "authority.",
    )
    ssl_keyfile: Path | None = Field(
        None, description="File with that certificate's key; without it, in the file of the certificate."
    )
    ssl_key_password: SecretStr | None = Field(None, description="Password of that key, where it is encrypted.")
    transaction_timeout_ms: int = Field(
        10_000,
        ge=1_000,
        alias="transaction_timeout_ms",
        description="After this the broker aborts a frozen relay's transaction, in milliseconds.",
    )


class Topics(Section):
    """Names in Kafka, and how topics are created."""

    events: Own[str] = named(
        "{stream}-events", pattern=_TOPIC, alias="topic", description="Kafka topic of the enriched events."
    )
    partitions: int = Field(
        4, ge=1, alias="topic_partitions", description="Partitions with which the topic is created."
    )
    checkpoint: Own[str] = named(
        "{stream}-relay-checkpoint",
        pattern=_TOPIC,
        alias="checkpoint_topic",
        description="Compacted topic of the relay's checkpoint.",
    )
    dead_letters: Own[str] = named(
        "{stream}-dead-letters",
        pattern=_TOPIC,
        alias="dead_letter_topic",
        description="Topic of the events that could not be delivered.",
    )
    replays: Own[str] = named(
        "{stream}-events-replay",
        pattern=_TOPIC,
        alias="replay_topic",
        description="Topic of events that were published again on request. Nothing of the platform counts them.",
    )
    replication_factor: int = Field(1, ge=1, description="Replicas with which topics are created.")
    forward_group: Own[str] = named(
        "{stream}-forward", min_length=1, description="Kafka consumer group with the offsets of what was forwarded."
    )


class Relay(Section, alias_generator="relay_{}".format):
    """From where, and how much at a time, the relay reads."""

    start: Literal["latest", "earliest"] = Field(
        "latest", alias="start", description="Where the very first start begins: at the newest event, or at the oldest."
    )
    start_lookback_ids: int = Field(
        10_000,
        ge=0,
        alias="start_lookback_ids",
        description="Ids below the newest among which a first start at `latest` looks for open transactions.",
    )
    batch_rows: int = Field(2_000, ge=1, description="Most events in one read and one Kafka transaction.")
    batch_bytes: int = Field(16 << 20, ge=1, description="Most bytes of messages in one Kafka transaction.")
    idle_poll_ms: float = Field(50, gt=0, description="Longest pause between polls while none come, in milliseconds.")


class Lease(Section, alias_generator="lease_{}".format):
    """For how long a streaming run lives, and how one follows another."""

    seconds: float = Field(600, ge=0, description="How long one streaming run lives, in seconds. 0 drains and ends.")
    lead_seconds: float | None = Field(
        None,
        ge=0,
        description="How long before the end the next run is launched, in seconds. Without it at once, so that one "
        "always waits and a killed run costs seconds; 60 saves its memory.",
    )
    grace_seconds: float = Field(
        300, ge=0, description="How long a run outlives its lease while no successor has claimed, in seconds."
    )
    shards: int = Field(
        1,
        ge=1,
        le=MOST_SHARDS,
        alias="consumer_shards",
        description="Among how many runs, each with a lease of its own, the topic's partitions are divided.",
    )
    retain_runs_hours: float = Field(
        24,
        gt=0,
        alias="retain_runs_hours",
        description="Age at which ended streaming runs are deleted from Dagster, in hours.",
    )

    executor: Shared[Literal["processes", "pods"]] = Field(
        "processes",
        alias="stream_executor",
        description="What each loop of a streaming run is: a process beside the others, or a pod of its own, on any "
        "node of Kubernetes (extra `kubernetes`).",
    )

    @property
    def effective_lead_seconds(self) -> float:
        """Seconds before a lease's end at which its successor is launched."""
        return self.seconds if self.lead_seconds is None else min(self.lead_seconds, self.seconds)


class Redis(Section, alias_generator="redis_{}".format):
    """Where the views are."""

    url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis or Valkey that serves the views: a URL, of rediss:// for TLS.",
    )
    ssl_cafile: Path | None = Field(
        None, description="File with the authority that signed Redis' certificate, where it is not a public one."
    )
    ssl_certfile: Path | None = Field(
        None,
        description="File with the certificate that Redis asks of a client, and those between it and its authority.",
    )
    ssl_keyfile: Path | None = Field(
        None, description="File with that certificate's key; without it, in the file of the certificate."
    )
    ssl_key_password: SecretStr | None = Field(None, description="Password of that key, where it is encrypted.")
    namespace: Own[str] = named(
        "{stream}", pattern=r"^[^{}\s]+$", description="Hash tag of all Redis keys: `engagement` gives {engagement}:…"
    )


class Views(Section):
    """What the views count."""

    window_seconds: int = Field(600, ge=10, description="Length of the sliding window, in seconds of event_ts.")
    bucket_seconds: int = Field(10, ge=1, description="Width of one bucket of the window, in seconds.")
    max_future_seconds: int = Field(
        60, ge=0, description="How far ahead of Redis' clock an event may be and still count, in seconds."
    )


class Api(Section, alias_generator="api_{}".format):
    """The partner, and how it is asked."""

    url: Own[SecretStr] = Field(
        SecretStr(""), description="The partner's HTTP API, to which events are posted. Empty: nothing is forwarded."
    )
    batch_size: int = Field(
        200, ge=1, le=10_000, description="Most events in one request: an array; with 1 it is the object itself."
    )
    wait_ms: float = Field(
        50, ge=0, description="For how long an event waits for others to fill its array, in milliseconds."
    )
    in_flight: int = Field(8, ge=1, le=64, description="Most requests to the partner at the same time.")
    connect_timeout_seconds: float = Field(
        5, gt=0, le=300, description="For how long connecting to the partner may take, in seconds."
    )
    read_timeout_seconds: float = Field(
        10, gt=0, le=300, description="For how long a request may take until the partner has answered, in seconds."
    )
    retry_seconds: float = Field(
        300,
        ge=0,
        description="For how long an event is tried before it is a dead letter, in seconds; outages do not count.",
    )
    breaker_failures: int = Field(
        5, ge=1, description="Consecutive failures that open the circuit breaker: the partner then counts as down."
    )
    probe_seconds: float = Field(
        5, gt=0, description="How often a partner that is down is tried with one request, in seconds."
    )
    events_per_second: float | None = Field(
        None, gt=0, description="Most events a second to the partner; without it, no limit."
    )
    requests_per_second: float | None = Field(
        None, gt=0, description="Most requests a second to the partner; without it, no limit."
    )
    proxy: SecretStr = Field(SecretStr(""), description="HTTP proxy on the way to the partner: a URL.")
    ca_file: Path | None = Field(
        None, description="File with the authority that signed the partner's certificate, where it is not a public one."
    )
    client_cert_file: Path | None = Field(
        None, description="File with the certificate that the partner asks of a client, with its key, not encrypted."
    )
    token: Own[SecretStr | None] = Field(None, description="Bearer token that is sent to the partner.")
    signing_key: Own[SecretStr | None] = Field(
        None, description="Key that signs requests, whsec_<base64>; two with a space between while it is replaced."
    )
    fields: Own[str] = Field(
        "", description="Fields of an event that the partner gets, comma-separated; empty: all of them."
    )
    user_id: Literal["keep", "drop", "hash"] = Field(
        "keep", description="What the partner gets as user_id: the id, nothing, or its HMAC-SHA256 with a key."
    )
    hash_key: Own[SecretStr | None] = Field(None, description="Key with which user_id is hashed.")


class Deliveries(Section, alias_generator="deliveries_{}".format):
    """What is kept of the requests to the partner."""

    kept: Literal["on", "off"] = Field(
        "on",
        alias="deliveries",
        description="Whether the last requests to the partner are kept, each beside its answer: on or off.",
    )
    hours: float = Field(48, gt=0, description="For how long they are kept, in hours.")
    megabytes: float = Field(
        256, gt=0, description="How much of them is kept, in megabytes before compression: the oldest go first."
    )
    body_bytes: int = Field(
        8_192,
        ge=0,
        le=1 << 20,
        description="How much of a body is kept, in bytes: of each request that failed, and of one that the partner "
        "took every ten seconds. 0: none.",
    )


class Warehouse(Section, alias_generator="warehouse_{}".format):
    """Where history is kept."""

    kind: Literal["delta", "bigquery"] = Field(
        "delta",
        alias="warehouse",
        description="Where history is kept: Delta Lake in a folder or object storage, or BigQuery.",
    )
    uri: str | None = Field(
        None,
        description="Delta Lake: folder or object storage URL, by default `warehouse` in the state folder. "
        "BigQuery: project.dataset.",
    )


class BigQuery(Section, alias_generator="bigquery_{}".format):
    """How BigQuery is reached."""

    location: str | None = Field(None, description="BigQuery: location of the dataset, such as EU.")
    credentials_file: Path | None = Field(
        None, description="BigQuery: key file of a service account; without it, Google's default credentials."
    )
    endpoint: str | None = Field(
        None, description="BigQuery: another address of its API, for a private endpoint or a test."
    )


class Stage(Section, alias_generator="stage_{}".format):
    """How large a batch for the warehouse becomes."""

    seconds: float | None = Field(
        None,
        gt=0,
        description="Longest age of a warehouse batch, in seconds; by default 5 with Delta Lake, 30 with BigQuery.",
    )
    batch_rows: int = Field(50_000, ge=1, description="Most events in one warehouse batch.")


class Page(Section, alias_generator="page_{}".format):
    """Who may change something through the page and the API."""

    token: Shared[SecretStr | None] = Field(
        None,
        min_length=16,
        description="Token with which people and programs may change something through the page and its API, of 16 "
        "characters or more. Without it they only read.",
    )


class Alerting(Section, alias_generator="alert_{}".format):
    """Who is told when something is wrong, and when it is over."""

    url: Shared[SecretStr] = Field(
        SecretStr(""),
        description="Webhook that is told when something is wrong, and when it is over. Empty: nobody is told.",
    )
    form: Shared[Literal["webhook", "slack"]] = Field(
        "webhook",
        description="Form of what it is told: webhook (JSON, by the Standard Webhooks specification) or slack.",
    )
    signing_key: Shared[SecretStr | None] = Field(
        None, description="Key that signs alerts, whsec_<base64>; two with a space between while it is replaced."
    )
    link: Shared[str] = Field(
        "", description="Address of the page as people reach it, for the links in alerts: http://host:3010."
    )
    dagster_link: Shared[str] = Field(
        "", description="Address of Dagster as people reach it, for the links to runs: http://host:3000."
    )
    proxy: Shared[SecretStr] = Field(SecretStr(""), description="HTTP proxy on the way to the webhook: a URL.")
    ca_file: Shared[Path | None] = Field(
        None, description="File with the authority that signed the webhook's certificate, where it is not a public one."
    )
    client_cert_file: Shared[Path | None] = Field(
        None, description="File with the certificate that the webhook asks of a client, with its key, not encrypted."
    )


class History(Section):
    """What days of the past are held against."""

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


class Catalog(Section):
    """What Dagster's catalog says of the assets."""

    owners: str = Field(
        "",
        description="Who answers for what the stream makes, in Dagster's catalog: mail addresses or team:name, "
        "comma-separated.",
    )
    source_owners: str = Field("", description="The same of the source's tables, which belong to another team.")
    docs_url: Shared[str] = Field(
        "", description="Where docs/ is published: a URL. With it, Dagster links to the page that tells what to do."
    )


class Logs(Section, alias_generator="log_{}".format):
    """How lines are logged."""

    format: Shared[Literal["auto", "text", "json"]] = Field(
        "auto", description="Form of the log: text, json, or auto, which is text on a terminal and JSON elsewhere."
    )
    batches: Shared[Literal["on", "off"]] = Field(
        "off",
        description="Whether each loop logs each batch with the id that follows it from the relay to each sink: on or "
        "off. A hundred lines a second.",
    )
