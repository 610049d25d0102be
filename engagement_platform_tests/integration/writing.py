"""Something that is written again and again beside a test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(write: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run `write` in a thread while the block runs; it ends once the event that it is given is set."""
    stop = threading.Event()
    thread = threading.Thread(target=write, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
