"""Reads the `.sql` files.

A statement follows its name, `-- name: latest_lease`, and its description, comment lines that stay in the file.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$\n?", re.MULTILINE)
_PLACEHOLDER = re.compile(rb"%\((\w+)\)s|%%")


@cache
def load(package: str, file: str) -> dict[str, str]:
    """Return the statements of `file`, which lies in `package`, by name, without comment lines and final semicolon.

    Raises ValueError when a name stands there twice.
    """
    _, *parts = _NAME.split(resources.files(package).joinpath(file).read_text(encoding="utf-8"))
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) < len(names):
        raise ValueError(f"{file} of {package} uses the name of a statement twice.")
    return {name: bare(body) for name, body in zip(names, bodies, strict=True)}


def bare(statement: str) -> str:
    """Return a statement without comment lines and final semicolon."""
    return _COMMENT.sub("", statement).strip().removesuffix(";")


def filled(template: str, values: Mapping[str, object]) -> str:
    """Return a template with each `{name}` replaced, in the order of `values`; other braces stay."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", str(value))
    return template


def numbered(statement: bytes) -> tuple[Sequence[str], bytes]:
    """Return the names of a statement's parameters, and the statement with `$1` and so on where they stood."""
    names = list(dict.fromkeys(name.decode() for name in _PLACEHOLDER.findall(statement) if name))
    numbers = {name.encode(): b"$%d" % at for at, name in enumerate(names, 1)}
    return names, _PLACEHOLDER.sub(lambda one: numbers[one[1]] if one[1] else b"%", statement)


def identifier(name: str) -> str:
    """Return a name as SQL takes it, whatever it is."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a text as a literal of SQL, whatever it holds."""
    return "'" + value.replace("'", "''") + "'"
