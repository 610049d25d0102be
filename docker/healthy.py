#!/usr/bin/env python3
"""Says by its exit code whether a service in this container answers: `healthy.py grpc PORT` or `healthy.py http URL`.

Of another service: `healthy.py grpc HOST:PORT`.

Dagster's own check of a code location takes two seconds of a core each time, for it loads all of Dagster.
"""

import sys
import urllib.request


def grpc(where: str) -> bool:
    """Say whether the code location on a port serves, of this container unless a host is named."""
    from grpc import insecure_channel  # noqa: PLC0415
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse  # noqa: PLC0415
    from grpc_health.v1.health_pb2_grpc import HealthStub  # noqa: PLC0415

    with insecure_channel(where if ":" in where else f"127.0.0.1:{where}") as channel:
        answer = HealthStub(channel).Check(HealthCheckRequest(service="DagsterApi"), timeout=5)
    return bool(answer.status == HealthCheckResponse.SERVING)


def http(url: str) -> bool:
    """Say whether a page of this container is there."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - of the compose file
        return bool(answer.status == 200)


if __name__ == "__main__":
    how, where = sys.argv[1:]
    try:
        ok = {"grpc": grpc, "http": http}[how](where)
    except Exception as error:
        sys.exit(f"{where}: {error}")
    sys.exit(0 if ok else f"{where} answers, but is not ready")
