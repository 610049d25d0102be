import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.disclosure import Disclosure, UserId, body_of, fields_of, hashed, object_of
from engagement_platform.domain.signing import event_key
from engagement_platform_tests.streams import ENGAGEMENT

FIELDS = ENGAGEMENT.names
USER = "6f1c2a34-0000-4000-8000-0000000000ab"
EVENT: dict[str, Any] = dict.fromkeys(FIELDS) | {
    "id": 5,
    "user_id": USER,
    "event_ts": "2026-01-01T00:00:00.000001Z",
    "raw_payload": {"كلمة": [1.5, None, 12345678901234567890]},
    "title": 'quote " and \\ and \u2028',
    "engagement_pct": 0.25,
}
KEY = b"k" * 32


def shown(disclosure: Disclosure, event: dict[str, Any] = EVENT) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(object_of(json.dumps(event).encode(), event["id"], disclosure))
    return found


def test_everything_leaves_unchanged_by_default_with_the_key_first() -> None:
    assert shown(Disclosure()) == {"key": "engagement-event-5"} | EVENT
    assert list(shown(Disclosure())) == ["key", *FIELDS]


def test_a_user_id_is_dropped_or_hashed() -> None:
    dropped = shown(Disclosure(user="user_id", user_id="drop"))
    assert dropped == {name: value for name, value in shown(Disclosure()).items() if name != "user_id"}
    hashing = Disclosure(user="user_id", user_id="hash", hash_key=KEY)
    hashed = shown(hashing)["user_id"]
    assert hashed == hmac.new(KEY, USER.encode(), hashlib.sha256).hexdigest()
    assert shown(Disclosure(user="user_id", user_id="hash", hash_key=b"other"))["user_id"] != hashed
    assert shown(hashing, EVENT | {"user_id": None})["user_id"] is None
    assert shown(hashing, EVENT | {"user_id": USER.upper()})["user_id"] == hashed


@pytest.mark.parametrize(
    ("user", "text"), [("Ann", "Ann"), ("ann", "ann"), (USER.upper(), USER), (17, "17"), ("", ""), ("é", "é")]
)
def test_a_user_of_any_type_is_hashed_by_its_own_text(user: object, text: str) -> None:
    """Upper and lower case tell users apart, but not where they are UUIDs."""
    buyer = Disclosure("orders", None, "buyer", "hash", KEY)
    value = json.dumps({"order_no": 3, "buyer": user, "user_id": "stays"}).encode()
    assert json.loads(object_of(value, 3, buyer)) == {
        "key": "orders-event-3",
        "order_no": 3,
        "buyer": hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest(),
        "user_id": "stays",
    }


@given(st.sets(st.sampled_from(FIELDS), min_size=1), st.uuids(), st.sampled_from(["keep", "drop", "hash"]))
def test_nothing_leaves_that_is_not_named(names: set[str], user: UUID, user_id: Any) -> None:
    disclosure = Disclosure("engagement", fields_of(", ".join(names), FIELDS), "user_id", user_id, KEY)
    value = json.dumps(EVENT | {"user_id": str(user), "added_later": "secret"}).encode()
    found = object_of(value, 5, disclosure)
    hidden = {"user_id"} if user_id == "drop" else set()
    assert set(json.loads(found)) == names - hidden | {"key"}
    assert b"secret" not in found
    assert (str(user).encode() in found) == ("user_id" in names and user_id == "keep")


@pytest.mark.parametrize("text", ["nothing", "id,users", "key"])
def test_an_unknown_field_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="there is no field"):
        fields_of(text, FIELDS)
    with pytest.raises(ValueError, match=r"there is no field user_id; there are order_no, buyer"):
        fields_of("user_id", ("order_no", "buyer"))


def test_a_column_in_the_place_of_the_events_key_has_to_be_left_out_or_renamed() -> None:
    columns = ("id", "key", "at")
    for text in ("", "id, key"):
        with pytest.raises(ValueError, match=r"another name in enriched\.sql with AS"):
            fields_of(text, columns)
    assert fields_of("at, id", columns) == ("id", "at")


def test_nobody_can_be_hidden_where_no_column_names_a_person() -> None:
    with pytest.raises(ValueError, match="pings has no column that names a person"):
        Disclosure("pings", user_id="drop")


def test_a_hash_needs_a_key_that_nothing_shows() -> None:
    with pytest.raises(ValueError, match="hashed with a key"):
        Disclosure(user="user_id", user_id="hash")
    assert "kkk" not in repr(Disclosure(user="user_id", user_id="hash", hash_key=KEY))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2))
def test_numbers_keep_every_digit(number: Decimal) -> None:
    value = json.dumps(EVENT).replace("0.25", format(number, "f")).encode()
    assert f'"engagement_pct":{number:f}'.encode() in object_of(value, 5, Disclosure())


def test_a_body_is_an_array_or_the_one_object() -> None:
    assert body_of([b'{"a":1}'], as_array=False) == b'{"a":1}'
    assert json.loads(body_of([b'{"a":1}', b"{}"], as_array=True)) == [{"a": 1}, {}]
    assert json.loads(body_of([b"{}"], as_array=True)) == [{}]


def test_without_a_selection_everything_leaves_that_a_message_has() -> None:
    assert fields_of(" ", FIELDS) is None
    assert object_of(b'{"order_no":1,"at":"x"}', 1, Disclosure("orders")) == (
        b'{"key":"orders-event-1","order_no":1,"at":"x"}'
    )


def test_a_field_that_a_message_of_an_older_form_lacks_is_null() -> None:
    assert object_of(b'{"id":7}', 7, Disclosure(fields=("id", "device"))).endswith(b'"id":7,"device":null}')
    hashed_id = Disclosure("engagement", ("user_id",), "user_id", "hash", b"key")
    assert object_of(b'{"id":7}', 7, hashed_id).endswith(b'"user_id":null}')


def spelled_out(value: bytes, event_id: int, disclosure: Disclosure) -> bytes:
    """What `object_of` says, one field after the other."""
    parts = {name: bytes(raw) for name, raw in msgspec.json.decode(value, type=dict[str, msgspec.Raw]).items()}
    shown = [b'"key":"%s"' % event_key(disclosure.stream, event_id).encode()]
    for name in parts if disclosure.fields is None else disclosure.fields:
        raw = parts.get(name, b"null")
        if name == disclosure.user and disclosure.user_id == "drop":
            continue
        if name == disclosure.user and disclosure.user_id == "hash" and raw != b"null":
            text = msgspec.json.decode(raw) if raw.startswith(b'"') else raw.decode()
            raw = json.dumps(hashed(text, disclosure.hash_key)).encode()
        shown.append(json.dumps(name, ensure_ascii=False).encode() + b":" + raw)
    return b"{" + b",".join(shown) + b"}"


names = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["u", "key"])
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(names, any_json, max_size=6),
    st.sampled_from([None, 2]),
    st.none() | st.lists(names, max_size=4, unique=True),
    st.sampled_from(["keep", "drop", "hash"]),
)
def test_every_value_is_passed_on_to_the_byte_as_it_stands(
    event: dict[str, Any], indent: int | None, fields: list[str] | None, user_id: UserId
) -> None:
    value = json.dumps(event, indent=indent, ensure_ascii=indent is None).encode("utf-8", "surrogatepass")
    chosen = None if fields is None else tuple(fields)
    disclosure = Disclosure("orders", chosen, "u", user_id, b"a key")
    assert object_of(value, 7, disclosure) == spelled_out(value, 7, disclosure)
