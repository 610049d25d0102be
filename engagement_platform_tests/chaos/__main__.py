"""The whole system under faults: `make chaos`. Exits with 1 when a guarantee was broken or a budget missed.

`make chaos ARGS="--seed 7 --minutes 20 --client librdkafka --report docs/reports"`; `--only NAME` for some faults.
"""

import argparse
import logging
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from engagement_platform_tests.chaos.readers import OTHER
from engagement_platform_tests.chaos.registry import FAULTS, possible
from engagement_platform_tests.chaos.report import Report, as_text, machine, write
from engagement_platform_tests.chaos.results import rows
from engagement_platform_tests.chaos.run import carry_out
from engagement_platform_tests.chaos.schedule import schedule
from engagement_platform_tests.chaos.system import ROOT, system


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="the same seed gives the same schedule; without it a new one, printed")
    parser.add_argument("--minutes", type=float, default=30.0, help="at least a round of all faults; more for longer")
    parser.add_argument("--at-most", type=float, default=120.0, metavar="MINUTES", help="no fault begins after so long")
    parser.add_argument("--client", choices=sorted(OTHER), default="kafka-python", help="Kafka client of the run")
    parser.add_argument("--rate", type=float, default=200.0, help="events a second of the generator")
    parser.add_argument("--report", type=Path, help="folder for the report as JSON and as a page")
    parser.add_argument("--only", action="append", metavar="NAME", help="only these faults; may be given again")
    parser.add_argument("--list", action="store_true", help="show the faults, or the schedule of a seed, and end")
    parser.add_argument("--without-dagster", action="store_true", help="only the loops, and what can be done to them")
    parser.add_argument("--note", default="", help="a remark that the report repeats")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and data")
    return parser.parse_args()


def main() -> None:
    """Run, compare, report."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are ended, too
    logging.basicConfig(format="%(asctime)s %(message)s")
    chosen = [fault for fault in FAULTS if given.only is None or fault.name in given.only]
    faults, skipped = possible(chosen, has_dagster=not given.without_dagster)
    if given.only and (unknown := set(given.only) - {fault.name for fault in FAULTS}):
        sys.exit(f"There is no fault {', '.join(sorted(unknown))}; there are: {', '.join(f.name for f in FAULTS)}")
    seed = random.SystemRandom().randrange(10_000) if given.seed is None else given.seed
    moments = schedule(seed, 60 * given.minutes, faults)
    if given.list:
        _tell("\n".join(f"{moment.at:7.0f} s  {moment.name}" for moment in moments))
        return
    _tell(f"seed {seed}: {len(moments)} faults within some {moments[-1].until / 60:.0f} minutes")
    folder, began = Path(tempfile.mkdtemp(prefix="chaos-", dir="/var/tmp")), time.time()
    folder.chmod(0o755)
    os.chdir(ROOT)
    try:
        with system(folder, seed, given.client, given.rate, has_dagster=not given.without_dagster) as on:
            outcome = carry_out(on, moments, faults, _tell, 60 * given.at_most)
            remedies = list(on.remedies)
    finally:
        if given.keep:
            _tell(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    options = [f"--seed {seed}", f"--minutes {given.minutes:g}", f"--client {given.client}"]
    options += ["--without-dagster"] if given.without_dagster else []
    options += [f'--only "{name}"' for name in given.only or ()]
    report = Report(
        name="chaos-loops" if given.without_dagster else "chaos",
        command=f"make chaos ARGS='{' '.join(options)}'",
        seed=seed,
        client=given.client,
        checker=OTHER[given.client],
        machine=machine(),
        load=f"{statistics.median(outcome.loads):.1f} in the middle, {max(outcome.loads):.1f} at most, with its own",
        note=given.note,
        began=f"{datetime.fromtimestamp(began, UTC):%Y-%m-%d %H:%M} UTC",
        minutes=(time.time() - began) / 60,
        committed=outcome.committed,
        repeats=outcome.verdicts["partner"].repeats,
        rows=rows(outcome, faults),
        skipped=skipped,
        broken=outcome.broken,
        unreached=outcome.unreached,
        remedies=remedies,
    )
    _tell(as_text(report))
    if given.report:
        _tell("\n".join(map(str, write(report, given.report))))
    sys.exit(0 if report.passed else 1)


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
