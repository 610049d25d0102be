"""What was looked at, and what to do where it is not as it should be."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

Level = Literal["ok", "note", "warning", "fault"]
_MARKS = {"ok": "[green]✓[/]", "note": "[dim]-[/]", "warning": "[yellow]![/]", "fault": "[red]✗[/]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. A `note` works but could be better; a `fault` keeps the platform from working."""

    level: Level
    what: str
    todo: str = ""
    file: str = ""
    """Within a stream's folder; empty for what lies at a server."""
    line: int | None = None

    @property
    def where(self) -> str:
        """Say where in a stream's folder it is, for people."""
        return f"{self.file or 'source'}{'' if self.line is None else f', line {self.line}'}"


def show(console: "Console", finding: Finding, what: str) -> bool:
    """Print what was looked at, as `what` says it; return whether it is a fault."""
    console.print(_MARKS[finding.level], end=" ")
    console.print(what, highlight=False, markup=False, soft_wrap=True)
    if finding.todo:
        console.print(f"    {finding.todo}", style="dim", highlight=False, markup=False, soft_wrap=True)
    return finding.level == "fault"
