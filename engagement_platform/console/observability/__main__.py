"""`python -m engagement_platform.console.observability [ROOT]`: writes dashboard, rules, their tests and the page.

All are made of what `domain.metrics` and `rules` declare. ROOT is the repository, by default this one.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from engagement_platform.console.observability.alerts import alert_rules, alert_tests
from engagement_platform.console.observability.dashboard import dashboard
from engagement_platform.console.observability.page import metrics_page
from engagement_platform.console.observability.yaml import to_yaml

_MADE = "# Made by `make observability` from engagement_platform/console/observability: change it there.\n"
FOLDER = "deploy/observability"


def files() -> Mapping[str, str]:
    """Return path within the repository -> text of each file."""
    return {
        f"{FOLDER}/alerts.yaml": _MADE + to_yaml(alert_rules()),
        f"{FOLDER}/alerts_test.yaml": _MADE + to_yaml(alert_tests()),
        f"{FOLDER}/dashboard.json": json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n",
        "docs/metrics.md": metrics_page(),
    }


def main(root: Path) -> None:
    """Write the files."""
    for path, text in files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[3])
