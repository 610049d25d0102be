"""A partner made of bytes: it reads whole requests, and sends whatever a test gives it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

Answer = bytes | Callable[[socket.socket], None]
"""What is sent, or what is done with the connection; it is kept open after that."""


@contextmanager
def speaking(answer: Callable[[int], Answer]) -> Iterator[str]:
    """Answer the requests, numbered from 0 over all connections, until the block ends; yield the address."""
    numbers = iter(range(1 << 30))
    connections: list[socket.socket] = []

    def converse(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            while read_request(connection):
                given = answer(next(numbers))
                if callable(given):
                    given(connection)
                else:
                    connection.sendall(given)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                connections.append(connection)
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/events"
        finally:
            for each in (server, *connections):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def read_request(connection: socket.socket) -> bytes:
    """Return the body of the next request; nothing at the end of the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(1 << 16)
        if not more:
            return b""
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: "))
    while len(body) < length:
        more = connection.recv(1 << 16)
        if not more:
            return b""
        body += more
    return body


def slowly(data: bytes, pause: float, until: threading.Event) -> Callable[[socket.socket], None]:
    """Return what sends data byte by byte with a pause after each, and then waits for the event."""

    def send(connection: socket.socket) -> None:
        for number in range(len(data)):
            connection.sendall(data[number : number + 1])
            if until.wait(pause):
                return
        until.wait(30)

    return send
