import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain.disclosure import FIELDS, Disclosure, body_of, fields_of, object_of
from engagement_platform.domain.event import ENGAGEMENT

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
    dropped = shown(Disclosure(user_id="drop"))
    assert dropped == {name: value for name, value in shown(Disclosure()).items() if name != "user_id"}
    hashed = shown(Disclosure(user_id="hash", hash_key=KEY))["user_id"]
    assert hashed == hmac.new(KEY, USER.encode(), hashlib.sha256).hexdigest()
    assert shown(Disclosure(user_id="hash", hash_key=b"other"))["user_id"] != hashed
    assert shown(Disclosure(user_id="hash", hash_key=KEY), EVENT | {"user_id": None})["user_id"] is None
    assert shown(Disclosure(user_id="hash", hash_key=KEY), EVENT | {"user_id": USER.upper()})["user_id"] == hashed


@given(st.sets(st.sampled_from(FIELDS), min_size=1), st.uuids(), st.sampled_from(["keep", "drop", "hash"]))
def test_nothing_leaves_that_is_not_named(names: set[str], user: UUID, user_id: Any) -> None:
    disclosure = Disclosure(fields_of(", ".join(names)), user_id, KEY)
    value = json.dumps(EVENT | {"user_id": str(user), "added_later": "secret"}).encode()
    found = object_of(value, 5, disclosure)
    hidden = {"user_id"} if user_id == "drop" else set()
    assert set(json.loads(found)) == names - hidden | {"key"}
    assert b"secret" not in found
    assert (str(user).encode() in found) == ("user_id" in names and user_id == "keep")


@pytest.mark.parametrize("text", ["nothing", "id,users", "key"])
def test_an_unknown_field_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="there is no field"):
        fields_of(text)


def test_a_hash_needs_a_key_that_nothing_shows() -> None:
    with pytest.raises(ValueError, match="hashed with a key"):
        Disclosure(user_id="hash")
    assert "kkk" not in repr(Disclosure(user_id="hash", hash_key=KEY))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2))
def test_numbers_keep_every_digit(number: Decimal) -> None:
    value = json.dumps(EVENT).replace("0.25", format(number, "f")).encode()
    assert f'"engagement_pct":{number:f}'.encode() in object_of(value, 5, Disclosure())


def test_a_body_is_an_array_or_the_one_object() -> None:
    assert body_of([b'{"a":1}'], as_array=False) == b'{"a":1}'
    assert json.loads(body_of([b'{"a":1}', b"{}"], as_array=True)) == [{"a": 1}, {}]
    assert json.loads(body_of([b"{}"], as_array=True)) == [{}]


def test_the_fields_are_those_of_the_message() -> None:
    assert ENGAGEMENT.names == FIELDS


def test_a_field_that_a_message_of_an_older_form_lacks_is_null() -> None:
    assert object_of(b'{"id":7}', 7, Disclosure(fields_of("id,device"))).endswith(b'"id":7,"device":null}')
    hashed_id = Disclosure(fields_of("user_id"), "hash", b"key")
    assert object_of(b'{"id":7}', 7, hashed_id).endswith(b'"user_id":null}')
