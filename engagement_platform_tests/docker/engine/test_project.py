from engagement_platform_tests.docker.engine.project import lines_twice

TOLD = '{"level": "WARNING", "message": "event 7 of orders is a dead letter"}'


def test_a_line_that_a_second_handler_prints_as_text_is_found() -> None:
    assert lines_twice([TOLD, "WARNING:root:event 7 of orders is a dead letter"]) == [
        "event 7 of orders is a dead letter"
    ]
    assert lines_twice([TOLD, TOLD.replace("7", "8"), "Started Dagster code server"]) == []
