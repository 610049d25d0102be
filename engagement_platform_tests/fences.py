"""What a fenced file touches of a library's inside, and whether it is still there."""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "engagement_platform"


def missing(needed: Mapping[str, Iterable[str]]) -> list[str]:
    """Return what is gone of a library: of `module.Class` -> its members, or `module` -> its names."""
    return [gone for owner, members in needed.items() for gone in _missing(owner, members)]


def _missing(owner: str, members: Iterable[str]) -> Iterator[str]:
    known = _members(owner)
    if known is None:
        yield owner
        return
    yield from (f"{owner}.{member}" for member in members if member not in known)


def _members(owner: str) -> set[str] | None:
    module, _, name = owner.rpartition(".")
    try:
        if not name[0].isupper():
            return set(dir(importlib.import_module(owner)))
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return None
    return set(dir(found)) | {attribute for base in inspect.getmro(found) for attribute in _set_by(base)}


def _set_by(kind: type) -> set[str]:
    """Return what a class declares, and what its methods set on `self`."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):  # it is not written in Python
        return set()
    return own_names(tree)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_names(tree: ast.AST) -> set[str]:
    """Return what a piece of code defines: functions, classes, variables, and attributes of `self`."""
    own = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            own.add(node.attr)
    return own


def private_attributes(tree: ast.AST, inherited: frozenset[str] = frozenset()) -> set[str]:
    """Return the private names that a module touches of what is not its own; `self` may have inherited some."""
    own = own_names(tree) | {"_replace", "_asdict", "_make", "_fields"}  # those of a NamedTuple are documented
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and node.attr not in own
        and not (_is_self(node.value) and node.attr in inherited)
    }


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def imports(tree: ast.AST) -> list[tuple[str, str]]:
    """Return what a module imports: a module, and a name in it (empty for the module itself)."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, alias.name) for alias in node.names]
    return found
