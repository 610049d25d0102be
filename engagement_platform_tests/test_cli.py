"""The command as a whole: its help and usage errors are there at once, and tell what the commands tell."""

import os
import subprocess
import sys

import click
import pytest

from engagement_platform.cli import COMMANDS, group, main
from engagement_platform_tests.processor import cpu_seconds

HEAVY = ("dagster", "kafka", "psycopg", "redis", "requests", "pydantic", "pyarrow", "deltalake", "google", "rich")
"""None of these may be loaded to say how a command is used."""

USES = [
    ["--help"],
    ["no-such-command"],
    *([name, "--help"] for name in COMMANDS),
    ["backfill", "--since", "soon"],
    *([name, "--no-such-option"] for name in COMMANDS),
]
LOADED = (
    "import sys\nfrom engagement_platform.cli import main\n"
    "try: main({arguments!r})\nexcept SystemExit: pass\n"
    "print('loaded:', *sorted(set(m.partition('.')[0] for m in sys.modules) & set({heavy!r})))"
)


def commands(name: str, command: click.Command) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(name, command)]
    return [(name, command)] + [
        pair for sub, inner in command.commands.items() for pair in commands(f"{name} {sub}", inner)
    ]


@pytest.mark.parametrize("arguments", USES, ids=" ".join)
def test_help_and_usage_errors_load_no_library(arguments: list[str]) -> None:
    program = LOADED.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_help_takes_little_of_the_processor() -> None:
    """The libraries of the platform alone take more; the least of some, since others share the processor."""
    program, libraries = ("-m", "engagement_platform", "--help"), "import kafka, psycopg, pydantic, redis"
    assert any(cpu_seconds(*program) <= cpu_seconds("-c", libraries) / 3 for _ in range(6))


def test_every_command_can_be_imported_and_is_told_of_in_a_line_that_fits() -> None:
    context = click.Context(group)
    for name, (_, line) in COMMANDS.items():
        command = group.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert len(line) <= 100


def test_an_error_is_shown_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ENGAGEMENT_")}
    done = subprocess.run(
        [sys.executable, "-m", "engagement_platform", "status"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: The configuration cannot be used. ENGAGEMENT_SOURCE_DSN: it is not set")
    assert "Traceback" not in done.stderr


def test_a_name_that_there_is_not_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["no-such-command"])
    assert ended.value.code == 2
