"""Does things again and again beside a test, as whoever looks at a system that breaks and heals has to."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def again(
    work: Mapping[str, Callable[[], None]], stop: threading.Event, errors: dict[str, str], pause: float
) -> Iterator[None]:
    """Do each thing in a thread of its own while the block runs; `stop` is set behind it, and ends them.

    What one raises, as of a server that is away, is noted in `errors`, and it is done again `pause` seconds later.
    """

    def repeat(name: str, do: Callable[[], None]) -> None:
        while not stop.is_set():
            try:
                do()
            except Exception as error:
                errors[name] = f"{type(error).__name__}: {error}"
            stop.wait(pause)

    threads = [threading.Thread(target=repeat, args=each, daemon=True) for each in work.items()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
