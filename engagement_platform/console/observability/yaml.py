"""Writes YAML: as much of it as the files for Prometheus need, and nothing that could be read in two ways."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*|[0-9]+[smhd]")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})

Value = str | int | Mapping[str, "Value"] | Sequence["Value"]


def to_yaml(value: Value) -> str:
    """Return a document: mappings and lists as blocks, texts in quotes unless they are words."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _entry(f"{_scalar(key)}:", inner)
    else:
        assert not isinstance(value, str | int), "a document is a mapping or a list"  # noqa: S101
        for inner in value:
            if isinstance(inner, str | int):
                yield f"- {_scalar(inner)}"
                continue
            first, *others = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)


def _entry(key: str, value: Value) -> Iterator[str]:
    if isinstance(value, str | int):
        yield f"{key} {_scalar(value)}"
    elif not value:
        yield f"{key} {'{}' if isinstance(value, Mapping) else '[]'}"
    else:
        yield key
        yield from (f"  {line}" for line in _lines(value))


def _scalar(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    is_word = _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS
    return value if is_word else json.dumps(value, ensure_ascii=False)
