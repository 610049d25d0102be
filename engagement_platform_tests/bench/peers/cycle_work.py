"""The relay as it runs by default, with a clock between the parts of each cycle: `python -m … LOG`.

Each cycle that brought events writes a line: the ids of the first and the last of them, how many, and when each part
ended, in nanoseconds since 1970; behind these the CPU time of the relay's thread in each part, in nanoseconds.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from engagement_platform.adapters.source.reader import Source
from engagement_platform.settings import load
from engagement_platform.stream.control import Standalone
from engagement_platform.stream.relay import loop
from engagement_platform.stream.relay.publisher import Publisher
from engagement_platform.stream.relay.relay import Relay

MARKS = ("began", "read", "prepared", "sent", "ended")
"""The poll begins; its read has returned; messages are made; Kafka has them; the transaction has ended."""


class Log:
    """The marks of the cycle in hand."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("w")
        self._at: dict[str, int] = {}
        self._cpu: dict[str, int] = {}
        self._ids: tuple[int, int, int] = (0, 0, 0)

    def mark(self, name: str) -> None:
        """Note that a part has ended now."""
        self._at[name], self._cpu[name] = time.time_ns(), time.thread_time_ns()

    def rows(self, rows: Any) -> None:
        """Note what the read brought."""
        self._ids = (rows.rows[0].id, rows.rows[-1].id, len(rows.rows)) if rows.rows else (0, 0, 0)

    def line(self) -> None:
        """Write the cycle."""
        if self._ids[2] and len(self._at) == len(MARKS):
            times = [self._at[name] for name in MARKS]
            cpu = [self._cpu[name] for name in MARKS]
            self._file.write(json.dumps([*self._ids, *times, *cpu]) + "\n")
            self._file.flush()
        self._at.clear()


def _around(kind: Any, name: str, before: Callable[[], None], after: Callable[[Any], None]) -> None:
    plain = getattr(kind, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        before()
        result = plain(*args, **kwargs)
        after(result)
        return result

    setattr(kind, name, timed)


def _watch(log: Log) -> None:
    def nothing() -> None:
        pass

    def has_read(rows: Any) -> None:
        log.mark("read")
        log.rows(rows)

    _around(Relay, "poll", lambda: log.mark("began"), lambda _: log.line())
    _around(Source, "read", nothing, has_read)
    _around(Publisher, "_commit", lambda: log.mark("prepared"), lambda _: None)
    with suppress(ImportError):
        from engagement_platform.adapters.kafka.kafka_python import producer as kafka_python

        _around(kafka_python, "commit_within", lambda: log.mark("sent"), lambda _: log.mark("ended"))
    with suppress(ImportError):
        from engagement_platform.adapters.kafka.librdkafka.producer import LibrdkafkaFencedProducer as Fast

        _around(Fast, "commit", lambda: log.mark("sent"), lambda _: log.mark("ended"))


def main() -> None:
    """Relay until it is killed."""
    _watch(Log(Path(sys.argv[1])))
    loop.run(load(), Standalone())


if __name__ == "__main__":
    main()
