"""What a program takes of the processor, as figures that hold on any machine are made of."""

import resource
import subprocess
import sys


def cpu_seconds(*arguments: str, check: bool = True) -> float:
    """Run Python; return the seconds of a processor that it took. With `check` it has to end well."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=check, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
