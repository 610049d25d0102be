"""Ends TLS before a server that does not speak it, as stunnel does: each connection is handed on without."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK = 1 << 16


@contextmanager
def terminated(target: int, certificate: Path, clients: Path | None = None) -> Iterator[int]:
    """Hand on what comes over TLS to a port of loopback; yield the port.

    With `clients`, the file of an authority, a client needs a certificate of that.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=_accept, args=(listener, context, target), daemon=True)
        accepting.start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    accepting.join()


def _accept(listener: socket.socket, context: ssl.SSLContext, target: int) -> None:
    with suppress(OSError):  # the listener was closed
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=_hand_on, args=(plain, context, target), daemon=True).start()


def _hand_on(plain: socket.socket, context: ssl.SSLContext, target: int) -> None:
    with (
        plain,
        suppress(OSError),
        socket.create_connection(("127.0.0.1", target)) as server,
        context.wrap_socket(plain, server_side=True) as client,
    ):
        back = threading.Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
