"""What PostgreSQL's plan for one event by its id proves: that it comes once, by an index, and by itself alone.

The planner leaves a LEFT JOIN out that can neither double nor hide a row, and says of any other join whether its inner
side has one row at most. What it cannot prove is told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Node = Mapping[str, Any]

_JOINS = {"Nested Loop", "Hash Join", "Merge Join"}
_NEVER_DOUBLE = {"Semi", "Anti"}
_THROUGH = {"Materialize", "Memoize", "Subquery Scan", "Sort", "Incremental Sort", "Gather", "Gather Merge", "Hash"}
_OTHER_ROWS = {
    "WindowAgg": "a window function",
    "Aggregate": "an aggregate, GROUP BY or DISTINCT",
    "Group": "GROUP BY",
    "Unique": "DISTINCT",
    "SetOp": "INTERSECT or EXCEPT",
    "Limit": "LIMIT",
    "CTE Scan": "a WITH that is computed as a whole",
    "Recursive Union": "WITH RECURSIVE",
}
"""Nodes above the event's table that look at other rows than the event's, so that a rebuild would differ."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a plan proves, and what it does not."""

    doubling: tuple[str, ...]
    """What can bring several rows for one event."""
    unproven: tuple[str, ...]
    """What may, as far as this plan tells."""
    other_rows: tuple[str, ...]
    """What makes an event depend on others."""
    by_index: bool
    """Whether an index leads to the event."""


def proof_of(plan: Node, tables: frozenset[tuple[str, str]], single: frozenset[str], *, limits_are_one: bool) -> Proof:
    """Return what a plan proves. `tables` are the event's table and its parts, `single` functions that give no rows."""
    reading = _Reading(tables, single, limits_are_one)
    has_event = reading.visit(plan)
    return Proof(
        tuple(dict.fromkeys(reading.doubling)),
        tuple(dict.fromkeys(reading.unproven)),
        tuple(dict.fromkeys(reading.other_rows)),
        by_index=has_event and reading.by_index,
    )


class _Reading:
    def __init__(self, tables: frozenset[tuple[str, str]], single: frozenset[str], limits_are_one: bool) -> None:
        self._tables, self._single, self._limits_are_one = tables, single, limits_are_one
        self.doubling: list[str] = []
        self.unproven: list[str] = []
        self.other_rows: list[str] = []
        self.by_index = True

    def visit(self, node: Node) -> bool:
        """Go down to the event's table, and say whether it lies here."""
        kind = node["Node Type"]
        if (node.get("Schema"), node.get("Relation Name")) in self._tables:
            self.by_index = self.by_index and _has_condition(node)
            return True
        if kind in _JOINS:
            return self._join(node)
        has_event = False
        for child in _children(node):
            has_event = self.visit(child) or has_event
        if has_event and kind in _OTHER_ROWS:
            self.other_rows.append(_OTHER_ROWS[kind])
        if has_event and kind == "ProjectSet":
            self.doubling.append("a function that gives several rows in the list behind SELECT")
        if has_event and kind in ("Append", "Merge Append") and not self._is_of_parts(node):
            self.unproven.append("UNION")
        return has_event

    def _join(self, node: Node) -> bool:
        outer, inner = _side(node, "Outer"), _side(node, "Inner")
        if self.visit(outer):
            if (
                node.get("Join Type") not in _NEVER_DOUBLE
                and not node.get("Inner Unique")
                and not self._is_single(inner)
            ):
                self.doubling += list(_names(inner)) or ["a join"]
            return True
        if self.visit(inner):
            self.unproven += list(_names(outer)) or ["a join"]
            return True
        return False

    def _is_single(self, node: Node) -> bool:
        """Say whether a side of a join has one row at most for each row of the other."""
        kind = node["Node Type"]
        if kind in _THROUGH and (children := list(_children(node))):
            return self._is_single(children[0])
        if kind == "Limit":
            return self._limits_are_one
        if kind == "Function Scan":
            return str(node.get("Function Name")) in self._single
        return bool((kind == "Result" and "Plans" not in node) or (kind == "Aggregate" and node["Strategy"] == "Plain"))

    def _is_of_parts(self, node: Node) -> bool:
        return all((child.get("Schema"), child.get("Relation Name")) in self._tables for child in _children(node))


def _children(node: Node) -> Iterator[Node]:
    """Yield what a node takes its rows from, without what is computed once or for each row."""
    return (child for child in node.get("Plans", ()) if child.get("Parent Relationship") not in ("InitPlan", "SubPlan"))


def _side(node: Node, side: str) -> Node:
    child: Node = next(child for child in node["Plans"] if child.get("Parent Relationship") == side)
    return child


def _has_condition(node: Node) -> bool:
    if "Index Cond" in node or "Recheck Cond" in node or "TID Cond" in node:
        return True
    return bool(node["Node Type"] == "Bitmap Heap Scan")


def _names(node: Node) -> Iterator[str]:
    """Yield the relations and functions below a node."""
    if "Relation Name" in node:
        yield (
            node["Relation Name"] if node.get("Schema") == "public" else f"{node.get('Schema')}.{node['Relation Name']}"
        )
    elif "Function Name" in node:
        yield f"{node['Function Name']}()"
    for child in node.get("Plans", ()):
        yield from _names(child)
