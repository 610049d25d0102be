"""docs/api.md has every operation, and no other."""

import re
from pathlib import Path

from engagement_platform.console.serve.api.table import OPERATIONS

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def test_every_operation_is_on_the_page() -> None:
    named = re.findall(r"^\| `((?:GET|POST) [^`]+)` \|", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(f"{one.method} {one.path}" for one in OPERATIONS)


def test_every_kind_of_problem_that_it_names_is_said_by_the_program() -> None:
    package = Path(__file__).parents[2] / "engagement_platform" / "console" / "serve"
    said = "\n".join(file.read_text() for file in package.rglob("*.py"))
    kinds = re.findall(r"problem:([a-z-]+)", PAGE)
    assert kinds
    assert [kind for kind in kinds if f'"{kind}"' not in said and kind not in ("no-dimension", "no-measure")] == []
    assert 'f"no-{what}"' in said
