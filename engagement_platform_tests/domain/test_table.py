from engagement_platform_tests.streams import ENGAGEMENT, ENGAGEMENT_EVENTS


def test_the_warehouse_has_the_columns_of_the_message_in_its_order() -> None:
    assert [column.name for column in ENGAGEMENT_EVENTS.columns] == list(ENGAGEMENT.names)


def test_the_day_is_a_column() -> None:
    assert ENGAGEMENT_EVENTS.column(ENGAGEMENT_EVENTS.day).required
