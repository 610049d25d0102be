"""Where something stands in a TOML file."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.stream_form import line_of

TEXT = '''name = "orders"
meaning = """
[source]
id = 1
"""

[source]
table = "shop.orders"

[views.dimensions]
country = { column = "country", shown = ["a"] }
"odd name".column = "x"
[ views . "measures" ]
cents = "cents" # [x]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 1),
        (("source",), 7),
        (("source", "table"), 8),
        (("source", "time"), 7),
        (("views", "dimensions", "country", "shown"), 11),
        (("views", "dimensions", "odd name", "column"), 12),
        (("views", "measures", "cents"), 14),
        (("views", "window"), None),
        (("columns",), None),
    ],
)
def test_a_path_has_the_line_of_the_longest_beginning_that_is_there(path: tuple[str, ...], line: int | None) -> None:
    tomllib.loads(TEXT)
    assert line_of(TEXT, path) == line


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text("ab\"'\\[]={}# ", max_size=8)),
        unique_by=lambda x: x[0],
    )
)
def test_each_key_of_a_plain_file_has_its_line(pairs: list[tuple[str, str]]) -> None:
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in pairs)
    assert tomllib.loads(text) == dict(pairs)
    for number, (key, _) in enumerate(pairs, 1):
        assert line_of(text, (key,)) == number
