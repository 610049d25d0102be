"""The plots of a report: `python -m engagement_platform_tests.bench.peers.plots docs/reports/peers.json`.

They lie beside it. Of the extra `bench`, like matplotlib, which nothing else needs.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engagement_platform_tests.bench.peers.results import COSTS, RELAY, SHARES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (9.0, 4.5)
DOTS_PER_INCH = 110


def draw(file: Path) -> list[Path]:
    """Draw what a report has; return the files."""
    import matplotlib

    matplotlib.use("Agg")
    report = json.loads(file.read_text())
    drawings = {
        "latency": (report["streams"], _latency),
        "cpu": (report["streams"], _cpu),
        "catching-up": (report["catching_up"], _catching_up),
        "rebuild": (report["rebuilds"], _rebuilds),
    }
    return [_draw(file, name, results, on) for name, (results, on) in drawings.items() if results]


def _draw(file: Path, name: str, results: Sequence[dict[str, Any]], on: Any) -> Path:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
    on(axes, results)
    target = file.with_name(f"{file.stem}-{name}.png")
    figure.savefig(target, dpi=DOTS_PER_INCH, metadata={"Software": None})  # the same report, the same file
    pyplot.close(figure)
    return target


def _latency(axes: "Axes", results: Sequence[dict[str, Any]]) -> None:
    for one in results:
        axes.plot(one["quantiles"], [100 * share for share in SHARES], label=one["name"])
    axes.set(xscale="log", xlabel="milliseconds from commit to readable in Kafka", ylabel="% of events", ylim=(0, 100))
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()


def _cpu(axes: "Axes", results: Sequence[dict[str, Any]]) -> None:
    _stacked(axes, results)
    axes.set(xlabel="CPU seconds per million events, at a steady load")


def _catching_up(axes: "Axes", results: Sequence[dict[str, Any]]) -> None:
    _stacked(axes, results)
    for row, one in enumerate(results):
        total = sum(one["cpu"].get(part, 0.0) for part in COSTS)
        axes.annotate(f" {one['rate']:,.0f} events/s", (total, row), va="center")
    axes.margins(x=0.25)
    axes.set(xlabel=f"CPU seconds for {results[0]['events']:,} events that waited, the relay's start included")


def _rebuilds(axes: "Axes", results: Sequence[dict[str, Any]]) -> None:
    bars = axes.barh([one["name"] for one in results], [one["rows_per_cpu_second"] for one in results])
    axes.bar_label(bars, [f" {one['rows_per_cpu_second']:,}; {one['peak_mb']:,} MB" for one in results])
    axes.margins(x=0.25)
    axes.invert_yaxis()
    axes.set(xlabel=f"rows per CPU second, {results[0]['rows']:,} rows of a day; and peak memory")


def _stacked(axes: "Axes", results: Sequence[dict[str, Any]]) -> None:
    left = [0.0] * len(results)
    for part in COSTS:
        seconds = [one["cpu"].get(part, 0.0) for one in results]
        label = "the program itself" if part == RELAY else part
        axes.barh([one["name"] for one in results], seconds, left=left, label=label)
        left = [before + more for before, more in zip(left, seconds, strict=True)]
    axes.invert_yaxis()
    axes.legend()


if __name__ == "__main__":
    for made in draw(Path(sys.argv[1])):
        sys.stdout.write(f"{made}\n")
