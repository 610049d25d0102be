"""Ports of loopback for servers that tests start."""

from engagement_platform.local.state import choose_port

_given = set[int]()


def free_port() -> int:
    """Return a port of loopback that nobody has at present, and that this process was not given before."""
    while (port := choose_port(None, None)) in _given:
        pass
    _given.add(port)
    return port
