import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain import signing

# The example of the specification's reference libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIME, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

secrets = st.binary(min_size=24, max_size=64)


def written(*keys: bytes) -> str:
    return " ".join("whsec_" + base64.b64encode(key).decode() for key in keys)


def test_it_signs_as_the_reference_libraries_do() -> None:
    assert signing.signature(signing.secrets_of(SECRET), ID, TIME, BODY) == SIGNATURE


@given(secrets, secrets, st.text(), st.integers(0, 2**40), st.binary())
def test_what_is_signed_with_one_of_the_secrets_is_accepted_and_nothing_else(
    old: bytes, new: bytes, name: str, time: int, body: bytes
) -> None:
    both = signing.secrets_of(written(old, new))
    given_ = signing.signature(both, name, time, body)
    for key in both:
        assert signing.is_signed([key], name, time, body, given_)
        assert not signing.is_signed([key], name, time + 1, body, given_)
        assert not signing.is_signed([key], name, time, body + b" ", given_)
        assert not signing.is_signed([key], name + "x", time, body, given_)
    assert not signing.is_signed([bytes(24)], name, time, body, given_) or bytes(24) in both


@pytest.mark.parametrize(
    "text", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_hunter2", "whsec_aHVudGVyMg==", "whsec_ö"]
)
def test_what_is_no_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="it ") as raised:
        signing.secrets_of(text)
    assert not text or text not in str(raised.value)
    assert "hunter2" not in str(raised.value)


ids = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=20)


@given(ids, ids)
def test_the_same_events_have_the_same_request_id_and_others_another(some: list[int], others: list[int]) -> None:
    mine = signing.request_id("engagement", some)
    assert (mine == signing.request_id("engagement", others)) == (some == others)
    assert mine != signing.request_id("orders", some)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_the_key_of_an_event_is_its_own(one: int, other: int) -> None:
    assert (signing.event_key("orders", one) == signing.event_key("orders", other)) == (one == other)
    assert signing.event_key("orders", one) != signing.event_key("engagement", one)


def test_without_a_secret_there_is_no_signature_and_the_id_is_the_idempotency_key() -> None:
    found = signing.headers((), ID, TIME, BODY)
    assert found == {"webhook-id": ID, "webhook-timestamp": str(TIME), "Idempotency-Key": ID}
    assert signing.headers(signing.secrets_of(SECRET), ID, TIME, BODY)["webhook-signature"] == SIGNATURE
