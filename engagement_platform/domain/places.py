"""Where what the platform reads and fills lies, as catalogs name it: without a password, and alike in every tool.

Namespace and name are those of OpenLineage (https://openlineage.io/docs/spec/naming), by which another tool that reads
the same table or topic means the same dataset. For Redis and HTTP APIs that has no rule: the scheme is theirs.
"""

from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import urlsplit

from engagement_platform.domain.addresses import origin

_PORTS = {"redis": 6379, "rediss": 6379}


@dataclass(frozen=True, slots=True)
class Place:
    """One table, topic, keyspace or API."""

    namespace: str
    name: str
    uri: str
    table: str = ""
    """Its full name where it is a table."""


def of_postgres(host: str, port: str, database: str, table: str) -> Place:
    """Return a table's place; `table` as SQL writes it, without quotes. Of several hosts it is the first one's."""
    host, port = host.split(",", maxsplit=1)[0] or "localhost", port.split(",", maxsplit=1)[0] or "5432"
    if host.startswith("/"):  # a folder with a socket
        host = "localhost"
    full = f"{database}.{table if '.' in table else f'public.{table}'}"
    server = f"{host}:{port}"
    return Place(f"postgres://{server}", full, f"postgresql://{server}/{database}", full)


def of_kafka(brokers: str, topic: str) -> Place:
    """Return a topic's place."""
    first = brokers.split(",", maxsplit=1)[0]
    server = f"kafka://{first if first.rpartition(':')[2].isdigit() else f'{first}:9092'}"
    return Place(server, topic, f"{server}/{topic}")


def of_redis(url: str, namespace: str) -> Place:
    """Return the place of the keys with a hash tag."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        server, database = "redis://localhost", "0"
    else:
        server = f"redis://{parts.hostname or 'localhost'}:{parts.port or _PORTS[parts.scheme]}"
        database = parts.path.strip("/") or "0"
    return Place(server, f"{database}/{{{namespace}}}", f"{server}/{database}")


def of_api(url: str, name: str) -> Place:
    """Return the place of what an API is sent. Its path is not shown, for it may be a secret."""
    return Place(origin(url), name, origin(url))


def of_warehouse(kind: str, uri: str, table: str) -> Place:
    """Return a table's place in a warehouse: `uri` is a folder, a URL of object storage, or project.dataset."""
    if kind == "bigquery":
        return Place("bigquery", f"{uri}.{table}", f"bigquery://{uri}.{table}", f"{uri}.{table}")
    parts = urlsplit(uri)
    if not parts.scheme or parts.scheme == "file":
        path = PurePath(parts.path or uri) / table
        return Place("file", str(path), f"file://{path}", table)
    host = parts.netloc.rpartition("@")[2]
    path = PurePath(parts.path.strip("/")) / table
    return Place(f"{parts.scheme}://{host}", str(path), f"{parts.scheme}://{host}/{path}", table)


def of_folder(path: str) -> Place:
    """Return a local folder's place."""
    return Place("file", path, f"file://{path}")
