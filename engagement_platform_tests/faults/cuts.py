"""Cuts TCP connections of this process, as a firewall or a proxy between it and its servers would."""

import os
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import psutil


def cut(ports: Collection[int]) -> int:
    """Cut every connection of this process to one of the ports; return how many there were."""
    cuts = 0
    for connection in psutil.Process().net_connections(kind="tcp"):
        if connection.fd != -1 and connection.raddr and connection.raddr.port in ports:
            with suppress(OSError), socket.socket(fileno=os.dup(connection.fd)) as copy:
                copy.shutdown(socket.SHUT_RDWR)
                cuts += 1
    return cuts


@contextmanager
def cutting(ports: Collection[int], every: float) -> Iterator[list[int]]:
    """Cut all connections to the ports every so many seconds while the block runs; yield how many each time."""
    ended, cuts = threading.Event(), list[int]()

    def run() -> None:
        while not ended.wait(every):
            cuts.append(cut(ports))

    thread = threading.Thread(target=run, name="cutting", daemon=True)
    thread.start()
    try:
        yield cuts
    finally:
        ended.set()
        thread.join(10)
