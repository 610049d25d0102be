"""What the lineage says of the topic holds whatever the topic is called."""

from engagement_platform.orchestration.assets import topic_events
from engagement_platform.settings import FIELDS


def test_the_topic_is_not_named_as_if_its_setting_had_a_fixed_value() -> None:
    assert FIELDS["topic"].default not in str(topic_events.metadata)
