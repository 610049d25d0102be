"""A catalog behind TLS of a private authority, and the key for it in a file."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement_platform.adapters.openlineage.client import Catalog
from engagement_platform.domain.errors import Unavailable
from engagement_platform.domain.lineage import Stage, Told, id_of
from engagement_platform_tests.certificates import Authority
from engagement_platform_tests.orchestration.test_lineage import Receiver
from engagement_platform_tests.terminator import terminated

TOLD = Told(Stage.START, 1_770_000_000.0, "relay", id_of("run", "relay"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_its_authority_is_that_of_requests_and_its_key_is_read_again(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, key = Authority(tmp_path), tmp_path / "key"
    monkeypatch.delenv("OPENLINEAGE_API_KEY", raising=False)
    monkeypatch.setenv("OPENLINEAGE_API_KEY_FILE", str(key))
    with terminated(receiver.server.server_port, authority.server()) as port:
        monkeypatch.setenv("OPENLINEAGE_URL", f"https://127.0.0.1:{port}")
        key.write_text("first\n")
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            Catalog().tell(TOLD)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
        Catalog().tell(TOLD)
        key.write_text("second\n")
        Catalog().tell(TOLD)
    assert receiver.keys == {"Bearer first", "Bearer second"}
