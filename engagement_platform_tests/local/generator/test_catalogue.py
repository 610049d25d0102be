from datetime import UTC, datetime

from engagement_platform.local.generator.catalogue import SIZE, catalogue

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_same_seed_gives_the_same_contents() -> None:
    assert catalogue(7, NOW) == catalogue(7, NOW)
    assert catalogue(7, NOW) != catalogue(8, NOW)


def test_contents_are_as_the_table_wants_them() -> None:
    contents = catalogue(7, NOW)
    assert len({content.id for content in contents}) == len({content.slug for content in contents}) == SIZE
    assert {content.content_type for content in contents} == {"podcast", "newsletter", "video"}
    assert all(content.publish_ts < NOW for content in contents)
    assert all(content.title for content in contents)


def test_titles_are_arabic_at_times_and_lengths_are_missing_or_zero() -> None:
    contents = catalogue(7, NOW)
    assert sum(any("\u0600" <= letter <= "\u06ff" for letter in content.title) for content in contents) >= 50
    assert sum(any(ord(letter) > 0x1F000 for letter in content.title) for content in contents) >= 20
    lengths = [content.length_seconds for content in contents]
    assert None in lengths
    assert 0 in lengths
