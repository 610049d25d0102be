"""Where each asset lies, by the settings: for the catalog, and for OpenLineage."""

from collections.abc import Iterator, Mapping

import dagster as dg

from engagement_platform.adapters.source.address import address_of
from engagement_platform.domain import places
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.places import Place
from engagement_platform.orchestration.assets import bare_name, source_key, streamed_key
from engagement_platform.orchestration.dead_letters import dead_letters_key
from engagement_platform.orchestration.warehouse.events import events_key
from engagement_platform.orchestration.warehouse.marts import mart_key
from engagement_platform.settings import Settings, load


def places_of(stream: EventStream) -> Mapping[dg.AssetKey, Place]:
    """Return where the assets of a stream lie; nothing where its settings are not there, or cannot be used."""
    try:
        settings = load(stream.name)
    except SettingsError:
        return {}
    return dict(_places(stream, settings))


def _places(stream: EventStream, settings: Settings) -> Iterator[tuple[dg.AssetKey, Place]]:
    source = address_of(settings.source.dsn.get_secret_value())
    brokers, warehouse = settings.kafka.bootstrap_servers, settings.warehouse.kind
    for table in stream.tables:
        yield source_key(table), places.of_postgres(*source, bare_name(table))
    yield streamed_key(stream, "relay"), places.of_kafka(brokers, settings.topics.events)
    yield dead_letters_key(stream), places.of_kafka(brokers, settings.topics.dead_letters)
    yield (
        streamed_key(stream, "tally"),
        places.of_redis(settings.redis.url.get_secret_value(), settings.redis.namespace),
    )
    yield streamed_key(stream, "stage"), places.of_folder(str(settings.own_dir.absolute()))
    if url := settings.api.url.get_secret_value():
        yield streamed_key(stream, "forward"), places.of_api(url, stream.table)
    uri = settings.effective_warehouse_uri
    yield events_key(stream), places.of_warehouse(warehouse, uri, stream.table)
    for mart in stream.marts:
        yield mart_key(mart), places.of_warehouse(warehouse, uri, mart)
