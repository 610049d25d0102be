"""Reads what Docker would read: the Dockerfile, the compose file and its environment files, as far as ours go."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
DOCKER = REPOSITORY / "docker"

BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of the image of Python, in which ours has the first word."""


@dataclass(frozen=True)
class Stage:
    """One stage of the Dockerfile: its instructions in order, as keyword and arguments."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, keyword: str) -> str:
        return [arguments for each, arguments in self.instructions if each == keyword][-1]

    @property
    def environment(self) -> dict[str, str]:
        words = [word for keyword, text in self.instructions if keyword == "ENV" for word in shlex.split(text)]
        return dict(word.replace("$PATH", BASE_PATH).split("=", 1) for word in words)


@cache
def stages() -> list[Stage]:
    text = (DOCKER / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found: list[Stage] = []
    for line in filter(None, lines.replace("\\\n", " ").splitlines()):
        keyword, arguments = line.split(None, 1)
        if keyword == "FROM":
            base, _, name = arguments.split()
            found.append(Stage(base, name))
        else:
            found[-1].instructions.append((keyword, arguments))
    return found


def image() -> Stage:
    return stages()[-1]


def json_list(text: str) -> list[str]:
    words: list[str] = json.loads(text)
    return words


@dataclass(frozen=True)
class Service:
    """One service of the compose file, with variables filled in and environment files read."""

    name: str
    raw: Mapping[str, Any]

    @property
    def is_ours(self) -> bool:
        return "build" in self.raw

    @property
    def argv(self) -> list[str]:
        """What is run in our image."""
        command = self.raw.get("command") or json_list(image().last("CMD"))
        return [*json_list(image().last("ENTRYPOINT")), *command]

    @property
    def environment(self) -> dict[str, str]:
        read: dict[str, str] = dict(image().environment) if self.is_ours else {}
        for file in self.raw.get("env_file", []):
            path = DOCKER / (file if isinstance(file, str) else file["path"])
            if isinstance(file, str):
                read |= environment_file(path)
        own: dict[str, str] = self.raw.get("environment", {})
        return read | own

    @property
    def user(self) -> tuple[int, int]:
        user, group = self.raw.get("user", image().last("USER") if self.is_ours else "1000:1000").split(":")
        return int(user), int(group)

    @property
    def mounts(self) -> list[tuple[str, str, bool]]:
        """Source (a volume's name or a path), target, and whether it can be written to."""
        found = []
        for volume in self.raw.get("volumes", []):
            source, target, *mode = volume.split(":")
            found.append((source, target, mode != ["ro"]))
        return found

    @property
    def tmpfs(self) -> dict[str, str]:
        """Options by target."""
        return {target: options for target, _, options in (text.partition(":") for text in self.raw.get("tmpfs", []))}

    @property
    def needs(self) -> dict[str, str]:
        """The condition by service."""
        return {name: need["condition"] for name, need in self.raw.get("depends_on", {}).items()}

    @property
    def grace_seconds(self) -> float:
        """How long it has to end before it is killed; Docker's default is ten seconds."""
        return float(self.raw.get("stop_grace_period", "10s").removesuffix("s"))

    @property
    def health(self) -> list[str] | None:
        test: list[str] | None = self.raw.get("healthcheck", {}).get("test")
        return test


def environment_file(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line.strip() and not line.startswith("#"))


@cache
def compose() -> dict[str, Any]:
    """Return the compose file with its variables filled in from docker/.env."""
    found: dict[str, Any] = _filled(
        yaml.safe_load((DOCKER / "compose.yaml").read_text()), environment_file(DOCKER / ".env")
    )
    return found


def services(profile: str) -> dict[str, Service]:
    found = compose()["services"]
    return {name: Service(name, raw) for name, raw in found.items() if profile in raw["profiles"]}


_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+):-(?P<default>[^}]*)\})")


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    match value:
        case dict():
            return {key: _filled(each, variables) for key, each in value.items()}
        case list():
            return [_filled(each, variables) for each in value]
        case str():
            return _VARIABLE.sub(
                lambda found: "$" if found["dollar"] else variables.get(found["name"], found["default"]), value
            )
        case _:
            return value
