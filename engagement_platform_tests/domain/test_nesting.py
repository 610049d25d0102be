import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.nesting import decoded, is_json, set_aside

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(documents, st.sampled_from([None, 1]))
def test_what_a_parser_takes_is_json(document: object, indent: int | None) -> None:
    assert is_json(json.dumps(document, indent=indent).encode())


@given(st.binary(max_size=30) | st.text('[]{}",:01e+-.\\u nultr', max_size=20).map(str.encode))
def test_json_is_what_a_parser_takes(text: bytes) -> None:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
        text.decode()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if "truncated" in str(error) and b"\\u" in text:
            return  # half of a surrogate pair, which JSON's grammar allows
        assert not is_json(text)
    else:
        assert is_json(text)


@given(st.dictionaries(st.text(), documents, max_size=4))
def test_members_that_are_no_scalars_are_set_aside(document: dict[str, object]) -> None:
    shallow, aside = set_aside(json.dumps(document).encode())
    nested = {name: value for name, value in document.items() if isinstance(value, list | dict)}
    assert {name: json.loads(text) for name, text in aside.items()} == nested
    assert json.loads(shallow) == {name: [] if name in nested else value for name, value in document.items()}


@pytest.mark.parametrize("text", [b'{"a": [1], "a": 2}', b'{"a": {"b": [1]}, "a": 2}'])
def test_the_last_member_of_a_name_counts(text: bytes) -> None:
    assert set_aside(text) == (b'{"a": [], "a": 2}', {})


@pytest.mark.parametrize("text", [b"[]", b"7", b"", b"{", b'{"a": [}', b'{"a": 1,}', b'{"a": [1,]}', b"{}}", b"{1: 2}"])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="JSON"):
        set_aside(text)


@pytest.mark.parametrize("depth", [10, 1_100, 100_000])
def test_depth_has_no_limit(depth: int) -> None:
    deep = b'[{"x": ' * depth + b"1" + b"}]" * depth
    seen, aside = decoded(msgspec.json.Decoder(dict[str, msgspec.Raw]).decode, b'{"id": 7, "deep": %s}' % deep)
    assert bytes(seen["id"]) == b"7"
    assert aside.get("deep", bytes(seen["deep"])) == deep


def test_malformed_text_below_a_depth_is_an_error_of_the_decoder() -> None:
    with pytest.raises(msgspec.DecodeError, match="malformed"):
        decoded(msgspec.json.decode, b'{"deep": ' + b"[" * 2_000 + b"]" * 1_999 + b"}")
