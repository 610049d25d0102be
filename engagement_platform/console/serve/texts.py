"""Every sentence of the pages, in each language: `texts/*.toml`, one file for each page, both languages side by side.

    [sentence.well]
    en = "All well: {rate} events a second"
    ar = "كل شيء على ما يرام: {rate} حدث في الثانية"

is the text `now.sentence.well` of texts/now.toml. A test holds that every text is there in every language, with the
same placeholders. Free text of a server's error stays as the server said it.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

LANGUAGES = {"en": "English", "ar": "العربية"}
"""Code -> its name in itself; the first is taken where nobody asks for another."""
UNKNOWN = "\u2013"
"""A dash, for what is not known."""
RIGHT_TO_LEFT = frozenset({"ar"})


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language. Figures and times are written alike in all, so that they can be compared with logs."""

    language: str

    @property
    def direction(self) -> str:
        """How the language is written, as HTML says it."""
        return "rtl" if self.language in RIGHT_TO_LEFT else "ltr"

    def __call__(self, key: str, **values: object) -> str:
        """Return a text with what is filled in. Raises KeyError for a text that there is not."""
        return _all()[key][self.language].format(**values)

    def isolated(self, value: object) -> str:
        """Return what is not of this language so that it stands by itself within this one's direction of writing.

        That is a text of another language, and a date, a time or a number, which would be turned around.
        """
        text = str(value)
        return f"\u2068{text}\u2069" if text and self.direction == "rtl" else text

    def unfilled(self, key: str) -> str:
        """Return a text with its placeholders, for the page's script to fill in. Raises KeyError."""
        return _all()[key][self.language]

    def has(self, key: str) -> bool:
        """Say whether there is such a text."""
        return key in _all()

    def place(self, name: str) -> str:
        """Return what people call a place that events come from or arrive at; of a sink of one's own its name."""
        key = f"now.place.name.{name}"
        return self(key) if self.has(key) else name.capitalize()

    def number(self, value: float | None, digits: int = 0) -> str:
        """Return a number with its thousands apart; a dash for one that is not known."""
        return UNKNOWN if value is None else f"{value:,.{digits}f}"

    def duration(self, seconds: float | None) -> str:
        """Return a duration in the unit in which it is read at once; a dash for one that is not known."""
        if seconds is None:
            return UNKNOWN
        unit = next((unit for unit, end in _ENDS.items() if seconds < end * 0.9995), "days")
        value = seconds / _LENGTHS[unit]
        return self(f"common.unit.{unit}", n=f"{value:,.{1 if value < 9.95 else 0}f}".removesuffix(".0"))

    def clock(self, at: float, now: float) -> str:
        """Return a time in UTC: of today the time alone, of another day with the day before it."""
        time, today = datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(now, UTC).date()
        return time.strftime("%H:%M" if time.date() == today else "%Y-%m-%d %H:%M") + " UTC"

    def moment(self, at: float) -> str:
        """Return a time to the second in UTC, as it is compared with logs."""
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


_LENGTHS = {"milliseconds": 0.001, "seconds": 1.0, "minutes": 60.0, "hours": 3_600.0, "days": 86_400.0}
_ENDS = {"milliseconds": 1.0, "seconds": 120.0, "minutes": 7_200.0, "hours": 172_800.0}
"""Unit -> the seconds below which it is taken."""


def chosen(cookie: str | None, accepted: str) -> Texts:
    """Return the texts of the language that a cookie names, or that a browser accepts before others."""
    if cookie in LANGUAGES:
        return Texts(cookie)
    return Texts(next((code for code in _preferred(accepted) if code in LANGUAGES), next(iter(LANGUAGES))))


def _preferred(accepted: str) -> list[str]:
    """Return the languages of an Accept-Language header, without their regions, the best liked first."""
    weighed = []
    for part in accepted.split(","):
        name, _, quality = part.strip().partition(";q=")
        try:
            weighed.append((-float(quality or 1), name.partition("-")[0].lower()))
        except ValueError:
            continue
    return [name for weight, name in sorted(weighed, key=lambda one: one[0]) if weight < 0]


@cache
def _all() -> Mapping[str, Mapping[str, str]]:
    texts: dict[str, Mapping[str, str]] = {}
    for file in resources.files(__package__).joinpath("texts").iterdir():
        if file.name.endswith(".toml"):
            toml = tomllib.loads(file.read_text(encoding="utf-8"))
            texts |= _flat(file.name.removesuffix(".toml"), toml)
    return texts


def _flat(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    for name, entry in table.items():
        key = f"{prefix}.{name}"
        if any(isinstance(inner, dict) for inner in entry.values()):
            yield from _flat(key, entry)
        else:
            yield key, entry
