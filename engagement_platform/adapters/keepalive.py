"""Options of a socket over which nothing is said for minutes: that of a run that waits for its turn.

Firewalls and address translation forget a silent connection, and the first request after that would meet no answer.
"""

import socket

IDLE_SECONDS = 30
"""After so long in silence the kernel asks the other side whether it is there."""

_EACH = {"TCP_KEEPIDLE": IDLE_SECONDS, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Not every system knows all of them."""

TCP = {getattr(socket, name): value for name, value in _EACH.items() if hasattr(socket, name)}
"""TCP option -> value."""

SOCKET = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, name, value) for name, value in TCP.items()),
]
"""Arguments of setsockopt, one for each option."""
