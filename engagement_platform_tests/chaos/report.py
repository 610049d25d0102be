"""The report of a run: JSON, and a page with its plot that takes nothing from outside."""

import html
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engagement_platform_tests.chaos.fault import SINKS
from engagement_platform_tests.chaos.results import Row, Still

_COLOURS = {"kafka": "#4c78a8", "redis": "#e45756", "warehouse": "#54a24b", "partner": "#f2a93b"}
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 82rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; font-size: 13px; } th, td { padding: .25rem .5rem; text-align: right; }
th { border-bottom: 2px solid #888; background: #fff; } tr:nth-child(even) { background: #f5f5f5; }
td:first-child, td:nth-child(2), th:first-child, th:nth-child(2) { text-align: left; }
.missed, .broken { color: #b00020; font-weight: 600; } .above { color: #9a5b00; }
.what { color: #555; max-width: 22rem; }
@media (prefers-color-scheme: dark) { body, th { background: #161616; color: #ddd; }
tr:nth-child(even) { background: #222; }
.what { color: #aaa; } .missed, .broken { color: #ff6b7d; } .above { color: #f2a93b; } svg text { fill: #ddd; } }
"""


@dataclass(frozen=True)
class Report:
    """All that is told of a run."""

    name: str
    """With which its files begin."""
    command: str
    seed: int
    client: str
    checker: str
    machine: str
    load: str
    note: str
    """What else is to be known, as it was given."""
    began: str
    minutes: float
    committed: int
    repeats: int
    """Deliveries of events that the partner had already."""
    rows: Sequence[Row]
    skipped: Mapping[str, str]
    """Fault -> what it needs and is not there."""
    broken: Sequence[str]
    unreached: Sequence[str]
    """Faults for which there was no time."""
    remedies: Sequence[str]
    """Commands that the platform printed, and that were typed."""

    @property
    def verdict(self) -> str:
        """One sentence."""
        wrong = sum(row.lost + row.doubled + row.disordered for row in self.rows)
        missed = [row.name for row in self.rows if row.missed]
        kept = (
            "nothing lost, nothing doubled, no order broken"
            if not wrong
            else f"{wrong} events lost, doubled or disordered"
        )
        late = f"budgets missed: {', '.join(missed)}" if missed else "all budgets kept"
        if above := [row.name for row in self.rows if row.above]:
            late += f"; budget kept, aim missed: {', '.join(above)}"
        failed = f"; not carried out: {len(self.broken)}" if self.broken else ""
        failed += f"; not reached: {len(self.unreached)}" if self.unreached else ""
        return f"{self.committed:,} events, {sum(row.times for row in self.rows[1:])} faults: {kept}; {late}{failed}."

    @property
    def passed(self) -> bool:
        """Whether every fault was inflicted, and every guarantee and every budget kept."""
        return not self.broken and not self.unreached and not any(row.broken or row.missed for row in self.rows)


def machine() -> str:
    """Return what it ran on, without its name."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def as_object(report: Report) -> dict[str, Any]:
    """Return the report for JSON."""
    rows = [
        {
            **{name: value for name, value in asdict(row).items() if name != "still"},
            "standstill": {
                sink: {
                    "p50": round(s.middle, 3),
                    "worst": round(s.worst, 3),
                    "budget": s.budget,
                    "aim": s.aim,
                    "verdict": s.verdict,
                }
                for sink, s in row.still.items()
            },
        }
        for row in report.rows
    ]
    fields = {name: value for name, value in vars(report).items() if name != "rows"}
    return {"verdict": report.verdict, "passed": report.passed, **fields, "faults": rows}


def write(report: Report, folder: Path) -> list[Path]:
    """Write both into a folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{report.name}-{report.client}"
    files = [stem.with_suffix(".json"), stem.with_suffix(".html")]
    files[0].write_text(json.dumps(as_object(report), indent=1, ensure_ascii=False) + "\n")
    files[1].write_text(page(report))
    return files


def page(report: Report) -> str:
    """Return the page."""
    said = {
        "command": f"<code>{html.escape(report.command)}</code>",
        "seed": str(report.seed),
        "clients of Kafka": f"{report.client} runs, {report.checker} checks",
        "machine": html.escape(report.machine),
        "load of the machine": report.load,
        "began": report.began,
        "minutes": f"{report.minutes:.1f}",
        "repeats at the partner": f"{report.repeats:,} (at least once is promised)",
    }
    if report.note:
        said["note"] = html.escape(report.note)
    lines = "".join(f"<li>{name}: {value}</li>" for name, value in said.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Chaos</title><style>{_STYLE}</style>'
        f'<h1>Chaos</h1><p class="{"" if report.passed else "missed"}">{html.escape(report.verdict)}</p>'
        f"<ul>{lines}</ul>"
        f"{plot(report.rows)}{_table(report.rows)}"
        f"{_list('Not carried out', report.broken)}"
        f"{_list('Not reached in the time', report.unreached)}"
        f"{_list('Left out here', [f'{name}: needs {what}' for name, what in report.skipped.items()])}"
        f"{_list('Remedies that the platform printed, and that were typed', report.remedies)}</html>\n"
    )


def _list(title: str, lines: Sequence[str]) -> str:
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def _table(rows: Sequence[Row]) -> str:
    heads = [
        "fault",
        "what",
        "times",
        "events",
        "lost",
        "doubled",
        "order",
        *(f"{s}: p50, worst (budget; aim), s" for s in SINKS),
    ]
    body = "".join(_line(row) for row in rows)
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{body}</table>"


def _line(row: Row) -> str:
    wrong = "".join(f'<td class="{"broken" if n else ""}">{n}</td>' for n in (row.lost, row.doubled, row.disordered))
    still = "".join(map(_still, row.still.values()))
    what = f'<td class="what">{html.escape(row.what)}. Heals: {html.escape(row.heals)}.</td>'
    return f"<tr><td>{html.escape(row.name)}</td>{what}<td>{row.times}</td><td>{row.events:,}</td>{wrong}{still}</tr>"


def _still(still: Still) -> str:
    said = "" if still.verdict == "ok" else f" {still.verdict}"
    kind = still.verdict.split()[0]
    return f'<td class="{kind}">{still.middle:.2f}, {still.worst:.2f} ({_limits(still)}){said}</td>'


def _limits(still: Still) -> str:
    return f"{still.budget:g}" if still.aim == still.budget else f"{still.budget:g}; {still.aim:g}"


_BAR, _LEFT, _WIDTH = 7, 190, 760


def plot(rows: Sequence[Row]) -> str:
    """Return the worst standstills as bars, a group for each fault, with a tick at each budget."""
    most = max((max(s.worst, s.budget) for row in rows for s in row.still.values()), default=1.0)
    scale, height = _WIDTH / most, len(rows) * (_BAR * len(SINKS) + 8) + 40
    parts = [f'<svg viewBox="0 0 {_LEFT + _WIDTH + 20} {height}" role="img" font-family="system-ui" font-size="11">']
    parts += [
        f'<rect x="{_LEFT + 110 * n}" y="4" width="10" height="10" fill="{_COLOURS[s]}"/>'
        f'<text x="{_LEFT + 110 * n + 14}" y="13" fill="#222">{s}</text>'
        for n, s in enumerate(SINKS)
    ]
    for n, row in enumerate(rows):
        top = 26 + n * (_BAR * len(SINKS) + 8)
        parts.append(f'<text x="0" y="{top + 2 * _BAR + 4}" fill="#222">{html.escape(row.name)}</text>')
        for m, (sink, still) in enumerate(row.still.items()):
            y, budget = top + m * _BAR, _LEFT + still.budget * scale
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{max(still.worst * scale, 1):.1f}" height="{_BAR - 1}" '
                f'fill="{_COLOURS[sink]}"><title>{sink}: {still.worst:.2f} s of {still.budget:g} s</title></rect>'
                f'<line x1="{budget:.1f}" x2="{budget:.1f}" y1="{y}" y2="{y + _BAR - 1}" stroke="#888"/>'
            )
    axis = f"worst standstill, 0 to {most:.0f} s; ticks: budgets"
    return "".join([*parts, f'<text x="{_LEFT}" y="{height - 4}" fill="#222">{axis}</text></svg>'])


_MARKS = {"ok": "", "above the aim": " ~", "missed": " !"}


def as_text(report: Report) -> str:
    """Return the report for a terminal."""
    lines = [
        report.verdict,
        f"{'fault':24}{'times':>6}{'events':>8}{'lost':>6}{'dbl':>5}{'ord':>5}  " + "".join(f"{s:>26}" for s in SINKS),
    ]
    for row in report.rows:
        still = "".join(
            f"{f'{s.middle:.2f} {s.worst:.2f} (≤ {_limits(s)})' + _MARKS[s.verdict]:>26}" for s in row.still.values()
        )
        lines.append(f"{row.name:24}{row.times:6}{row.events:8}{row.lost:6}{row.doubled:5}{row.disordered:5}  {still}")
    lines += [f"not carried out: {line}" for line in report.broken]
    lines += [f"not reached: {name}" for name in report.unreached]
    lines += [f"left out: {name} needs {what}" for name, what in report.skipped.items()]
    return (
        "\n".join([*lines, "standstills in seconds: p50, worst (budget; aim); ! is missed, ~ is above the aim"]) + "\n"
    )
