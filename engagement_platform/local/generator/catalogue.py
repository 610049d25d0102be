"""What the company publishes, as the generator makes it up: pure, the same for the same seed."""

from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple
from uuid import UUID

SIZE = 300
UNKNOWN_LENGTH_SHARE = 0.04

_SUBJECTS = (
    "the Night Trains", "Small Rivers", "Bread and Salt", "a City without Cars", "the Last Typewriter", "Cold Coffee",
    "Honest Numbers", "the Quiet Market", "Desert Gardens", "Borrowed Light", "Old Maps", "the Winter Kitchen",
    "Paper Boats", "Wild Football", "the Long Election", "Open Windows", "Deep Oceans", "Lost Recipes",
)  # fmt: skip
_ARABIC = (
    "حكايات المدينة القديمة", "قهوة الصباح", "أسرار الصحراء", "نشرة الاقتصاد", "موسيقى الليل", "كرة القدم اليوم",
    "رحلة إلى الأندلس", "مطبخ جدتي", "علوم المستقبل", "أصوات البحر",
)  # fmt: skip
_EMOJI = ("🎧", "🔥", "🌍", "🚀", "☕️", "👩‍🚀", "🏆", "🎬")
_FORMATS = {
    "podcast": ("{} - Episode {}", "Listening to {}, Part {}", "{}: Conversation {}"),
    "newsletter": ("The Weekly on {} #{}", "Letters about {}, No. {}", "{} in Five Minutes ({})"),
    "video": ("{} | Documentary {}", "Inside {} ({})", "{}, explained ({})"),
}
_LENGTHS = {"podcast": (900, 5_400), "newsletter": (120, 600), "video": (60, 2_400)}
"""The shortest and the longest, in seconds."""


class Content(NamedTuple):
    """One row of the table `content`, in the order of its columns."""

    id: UUID
    slug: str
    title: str
    content_type: str
    length_seconds: int | None
    publish_ts: datetime


def catalogue(seed: int, now: datetime) -> list[Content]:
    """Return `SIZE` contents published before `now`: some titles Arabic or with emoji, some lengths NULL, one zero."""
    random = Random(f"catalogue {seed}")  # noqa: S311
    return [_content(random, number, now) for number in range(1, SIZE + 1)]


def _content(random: Random, number: int, now: datetime) -> Content:
    kind = random.choices(("podcast", "newsletter", "video"), (5, 2, 3))[0]
    return Content(
        id=UUID(int=random.getrandbits(128), version=4),
        slug=f"{kind}-{number:04d}",
        title=_title(random, kind, number),
        content_type=kind,
        length_seconds=_length(random, kind, number),
        publish_ts=now - timedelta(seconds=random.randint(60, 90 * 86_400)),
    )


def _title(random: Random, kind: str, number: int) -> str:
    if number % 5 == 0:
        title = f"{random.choice(_ARABIC)} - الحلقة {number}"
    else:
        title = random.choice(_FORMATS[kind]).format(random.choice(_SUBJECTS), number)
    title = title[0].upper() + title[1:]
    return f"{random.choice(_EMOJI)} {title}" if number % 7 == 0 else title


def _length(random: Random, kind: str, number: int) -> int | None:
    if number == 13:
        return 0
    return None if random.random() < UNKNOWN_LENGTH_SHARE else random.randint(*_LENGTHS[kind])
