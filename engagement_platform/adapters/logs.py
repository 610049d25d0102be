"""Lines of the log for programs: one JSON object each, where nobody reads them on a terminal.

In a run of Dagster a line of the platform goes to Dagster's handlers, which keep it with the run and print it. They
stay; what they print has this form. Outside of a run, and for lines of libraries, a handler of the root logger prints.
"""

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from engagement_platform import settings
from engagement_platform.adapters import batch_log

_OF_DAGSTER = "dagster_meta"
"""What Dagster adds to a line that it has taken: the run, the step, and the line as it was."""
_DAEMON = "dagster.daemon"
"""Whose lines Dagster prints itself, and hands on."""

_TEXT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"

_bound: dict[str, str] = {}
"""What is true of all lines of this process: a loop has one of its own, with threads."""


def is_json(stream: TextIO | None = None) -> bool:
    """Say whether lines are JSON, by ENGAGEMENT_LOG_FORMAT and whether standard error is a terminal."""
    chosen = settings.logs().format
    return chosen == "json" or (chosen == "auto" and not (stream or sys.stderr).isatty())


class JsonFormatter(logging.Formatter):
    """Writes a line as one JSON object: time, level, logger, message, and what it is about as far as it is known."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, on one line."""
        return msgspec.json.encode(_as_object(record, self.formatException), enc_hook=str).decode()


def _as_object(record: logging.LogRecord, explain: Any) -> dict[str, object]:
    told = getattr(record, _OF_DAGSTER, None) or {}
    line: dict[str, object] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname,
        "logger": record.name,
        "message": told.get("orig_message") or record.getMessage(),
        **_about(told),
        **_bound,
        **{field: value for field in batch_log.FIELDS if (value := getattr(record, field, None)) is not None},
    }
    if event := told.get("dagster_event"):
        line["event"] = event.event_type_value
        if error := getattr(event.event_specific_data, "error", None):
            line["error"] = error.to_string()
    if record.exc_info:
        line["error"] = explain(record.exc_info)
    return line


def _about(told: dict[str, Any]) -> dict[str, str]:
    names = {"job": "job_name", "run": "run_id", "step": "step_key"}
    return {field: str(told[name]) for field, name in names.items() if told.get(name)}


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at the time of the line."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """Others set it when it is closed."""


def _handler() -> logging.Handler:
    handler = _Stderr()
    handler.setFormatter(JsonFormatter() if is_json() else logging.Formatter(_TEXT))
    return handler


def install() -> None:
    """Print warnings that Dagster does not take, once. Without any handler the first of a library would install one.

    That one prints what Dagster has printed already: `logging.warning`, as dagster-postgres calls it when a connection
    is lost, installs a handler of the root logger, to which the platform's lines come too.
    """
    root = logging.getLogger()
    if root.handlers:
        return
    handler = _handler()
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: not hasattr(record, _OF_DAGSTER) and not record.name.startswith(_DAEMON))
    root.addHandler(handler)


def reform(consoles: Iterable[logging.Handler]) -> None:
    """Let handlers that print a run's lines write JSON, where that is asked for."""
    if is_json():
        for console in consoles:
            console.setFormatter(JsonFormatter())


@contextmanager
def bound(**about: str) -> Iterator[None]:
    """Let all lines of this process say what they are about while the block runs; log batches where that is asked for.

    For processes that do one thing, as the op of a loop does.
    """
    before = dict(_bound)
    _bound.update(about)
    if settings.logs().batches == "on" and not batch_log.log.handlers:
        batch_log.log.addHandler(_handler())
        batch_log.log.propagate = False
        batch_log.log.setLevel(logging.INFO)
    try:
        yield
    finally:
        _bound.clear()
        _bound.update(before)
