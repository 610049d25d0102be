"""Ports of loopback: for servers that tests start, and whose a connection is."""

import psutil

from engagement_platform.local.state import choose_port

_given = set[int]()


def free_port() -> int:
    """Return a port of loopback that nobody has at present, and that this process was not given before."""
    while (port := choose_port(None, None)) in _given:
        pass
    _given.add(port)
    return port


def owners(port: int, to: int) -> list[psutil.Process]:
    """Return the processes that have a connection from a port of loopback to a server's.

    A port alone tells nobody: connections to several servers may have the same one.
    """
    found = psutil.net_connections("tcp")
    return [psutil.Process(one.pid) for one in found if one.pid and (*one.laddr[1:], *one.raddr[1:]) == (port, to)]
