"""Runs the server of the page until it is told to end."""

import logging
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

import click
import uvicorn

from engagement_platform import settings as configuration
from engagement_platform.console.serve.app import create_app
from engagement_platform.console.serve.sampler import Sampler
from engagement_platform.console.serve.security import Guard, is_loopback, token_of
from engagement_platform.console.serve.site import Site
from engagement_platform.domain.errors import EngagementError, SettingsError
from engagement_platform.settings import Settings

_ENDS_WITHIN_SECONDS = 3
_THREADS_TAKE_TURNS_SECONDS = 0.0005
"""So long the sampler computes before a request that came back from a socket has its turn. Python's own 5 ms, for each
of the requests that wait already, would become a tenth of a second."""


def run(
    streams: Mapping[str, Settings | EngagementError],
    host: str,
    port: int,
    *,
    hosts: Sequence[str] = (),
    readers_need_no_token: bool = False,
    dagster_url: str = "",
) -> None:
    """Serve until a signal ends it. Raises EngagementError where it cannot begin."""
    guard = guard_of(host, hosts, readers_need_no_token=readers_need_no_token)
    site = Site(streams, Sampler(streams), guard, dagster_url or dagster_link())
    listener = listen(host, port)
    config = uvicorn.Config(
        create_app(site),
        log_level=logging.WARNING,
        access_log=False,
        proxy_headers=False,  # they can be written by anybody, and would pass for another address
        server_header=False,
        timeout_graceful_shutdown=_ENDS_WITHIN_SECONDS,
        ws="none",
    )
    server = uvicorn.Server(config)
    site.is_closing = lambda: server.should_exit
    sys.setswitchinterval(_THREADS_TAKE_TURNS_SECONDS)
    click.echo(f"The page: http://{_shown(host)}:{listener.getsockname()[1]}")
    with suppress(KeyboardInterrupt):  # Ctrl-C, which has ended the server before
        server.run(sockets=[listener])


def dagster_link() -> str:
    """Return where people reach Dagster, as alerts have it; empty where that is not set, or cannot be read."""
    with suppress(SettingsError):  # whoever sends alerts says it
        return configuration.alerting().dagster_link
    return ""


def guard_of(host: str, hosts: Sequence[str], *, readers_need_no_token: bool) -> Guard:
    """Return who may do what. Raises SettingsError: what others reach needs a token."""
    page = configuration.page()
    is_own = is_loopback(host)
    if not is_own and page.token is None and not readers_need_no_token:
        raise SettingsError(
            f"{host} can be reached from other machines, and no token is set.",
            "Set ENGAGEMENT_PAGE_TOKEN, or leave --host out: then only this machine reaches the page.",
        )
    return Guard(partial(token_of, page), hosts, open_to_readers=is_own or readers_need_no_token)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises EngagementError where the address is taken or is none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        raise EngagementError(
            f"The page cannot listen on {host}, port {port}: {error.strerror}.",
            "Choose another port with --port, or see what listens there: ss -ltnp",
        ) from error
    listener.setblocking(False)
    return listener


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
