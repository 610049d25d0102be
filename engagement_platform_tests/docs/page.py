"""A page's fenced blocks, and a shell in which its commands are typed one after another."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)( \w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Page:
    """The page's blocks, in order."""

    def __init__(self, file: Path) -> None:
        self._left: list[tuple[str, str, str]] = _BLOCK.findall(file.read_text())

    def until(self, kind: str) -> None:
        """Pass over the blocks before the next one of that kind."""
        while self._left[0][0] != kind:
            self._left.pop(0)

    def next(self, kind: str, mark: str = "") -> str:
        """Return the next block, which has to be of that kind and to have the mark."""
        at, note, text = self._left.pop(0)
        assert at == kind, (at, text)
        assert mark in text, text
        assert (note.strip() == "background") == ("dagster dev" in text)
        return text


class Shell:
    """A shell in which the page's commands are typed one after another."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env={
                **variables,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "COLUMNS": "200",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, text: str, *, codes: tuple[int, ...] = (0,)) -> str:
        """Run commands; return what they say. Each of them must end with one of the codes."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"failed=0; trap 'failed=$?' ERR\n{text.rstrip()}\necho; echo done: $failed\n")
        self._bash.stdin.flush()
        said = ""
        for line in self._bash.stdout:
            if line.startswith("done: "):
                assert int(line.removeprefix("done: ")) in codes, (text, said)
                return said
            said += line
        raise AssertionError(f"the shell has ended: {said}")

    def run(self, program: str) -> str:
        """Run a program of Python there; return what it says."""
        return self.type(f"python - <<'END OF PROGRAM'\n{program}\nEND OF PROGRAM")

    @property
    def variables(self) -> dict[str, str]:
        """What programs find that are started there now."""
        said = self.type("python -c 'import json, os; print(json.dumps(dict(os.environ)))'")
        made: dict[str, str] = json.loads(said)
        return made

    def close(self) -> None:
        """End it."""
        self._bash.stdin.close()  # type: ignore[union-attr]
        self._bash.wait(30)


def put_behind(file: Path, mark: str, line: str) -> None:
    """Add a line behind one that a file has."""
    text = file.read_text()
    assert mark in text
    file.write_text(text.replace(mark, f"{mark}\n{line}", 1))
