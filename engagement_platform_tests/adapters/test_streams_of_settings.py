"""Several streams in one environment: which there are, whose settings hold, and what two of them must not share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engagement_platform.adapters.streams import strange_variables, stream_of, streams
from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.event_stream import EventStream, is_name
from engagement_platform.settings import about, load

Make = Callable[..., Path]

TOML = """
name = "{name}"
meaning = "What was bought."
source = {{ table = "shop.{name}", id = "id", time = "at" }}
message = {{ key = "customer" }}
warehouse = {{ table = "{table}" }}
views.dimensions.country.column = "country"
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_SOURCE_DSN", "postgresql://127.0.0.1/media")
    monkeypatch.setenv("ENGAGEMENT_PLATFORM_DSN", "postgresql://127.0.0.1/platform")


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Write a stream's folder and add it to the environment."""
    folders: list[Path] = []

    def make(name: str, table: str = "", folder: str = "", marts: tuple[str, ...] = ()) -> Path:
        made = tmp_path / (folder or name)
        (made / "marts").mkdir(parents=True)
        (made / "stream.toml").write_text(TOML.format(name=name, table=table or name))
        (made / "enriched.sql").write_text("SELECT id, at, customer, country FROM shop.orders")
        for mart in marts:
            (made / "marts" / f"{mart}.sql").write_text("SELECT @day AS day")
            with (made / "stream.toml").open("a") as toml:
                toml.write(f'marts.{mart} = {{ meaning = "A day.", columns = {{}} }}\n')
        folders.append(made)
        monkeypatch.setenv("ENGAGEMENT_STREAMS", os.pathsep.join(map(str, folders)))
        return made

    return make


def told(name: str) -> str:
    with pytest.raises(SettingsError) as raised:
        stream_of(load(name))
    assert raised.value.todo
    return str(raised.value)


def test_the_packaged_stream_is_the_only_one_until_others_are_named() -> None:
    assert list(streams()) == ["engagement"]
    assert stream_of(load()).table == "engagement_events"


def test_streams_stand_in_the_order_of_their_folders_behind_the_packaged_one(make: Make) -> None:
    make("visits")
    make("orders", folder="elsewhere")
    assert list(streams()) == ["engagement", "visits", "orders"]
    assert stream_of(load("orders")).source.name == "shop.orders"
    assert stream_of(load("visits")).source.name == "shop.visits"
    assert stream_of(load()).source.name == "engagement_events"


def test_a_folder_may_stand_for_the_packaged_stream(make: Make) -> None:
    make("engagement", table="mine")
    assert list(streams()) == ["engagement"]
    assert stream_of(load()).table == "mine"


def test_without_the_packaged_stream_there_are_only_those_of_the_folders(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_PACKAGED_STREAM", "off")
    with pytest.raises(SettingsError, match="PACKAGED_STREAM is off, and ENGAGEMENT_STREAMS names no folder"):
        streams()
    make("orders")
    assert list(streams()) == ["orders"]
    assert stream_of(load("orders")).source.name == "shop.orders"
    assert "There is no stream engagement; there are orders." in told("engagement")
    assert "engagement is off by ENGAGEMENT_PACKAGED_STREAM" in told("engagement")
    make("engagement", table="mine")
    assert list(streams()) == ["engagement", "orders"]
    assert stream_of(load()).table == "mine"


@pytest.mark.parametrize("value", ["no", "0", "OFF"])
def test_the_packaged_stream_is_on_or_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ENGAGEMENT_PACKAGED_STREAM", value)
    for read in (streams, load):
        with pytest.raises(SettingsError, match=f"ENGAGEMENT_PACKAGED_STREAM.* must be .*on.* or .*off.*{value}"):
            read()
    monkeypatch.setenv("ENGAGEMENT_PACKAGED_STREAM", "")
    assert list(streams()) == ["engagement"]


def test_a_broken_folder_breaks_no_other(make: Make) -> None:
    (make("orders") / "enriched.sql").unlink()
    (make("visits", folder="visited") / "stream.toml").write_text("name = ")
    make("pings")
    assert list(streams()) == ["engagement", "orders", "visited", "pings"]
    assert "enriched.sql" in told("orders")
    assert "is no TOML" in told("visited")
    assert isinstance(streams()["pings"], EventStream)
    assert stream_of(load("pings")).table == "pings"
    assert stream_of(load()).table == "engagement_events"


def test_a_folder_that_says_no_name_takes_no_name_from_others(make: Make) -> None:
    (make("", folder="a/orders") / "stream.toml").write_text("name = ")
    make("My Orders!", folder="b/orders")
    make("orders", folder="c/shop")
    make("", folder="d/engagement")
    make("", folder="Ärger 2")
    assert list(streams()) == ["engagement", "orders_2", "orders_3", "orders", "engagement_2", "rger_2"]
    assert [isinstance(stream, EventStream) for stream in streams().values()] == [
        True,
        False,
        False,
        True,
        False,
        False,
    ]
    assert stream_of(load("orders")).name == "orders"


@pytest.mark.parametrize("folder", ["2024-orders", "_x", "__", "ü", "a__b_", "o" * 90, f"{'o' * 31}_x", "2" * 90])
def test_a_folder_that_says_no_name_has_one_that_streams_may_have(make: Make, folder: str) -> None:
    (make("", folder=f"a/{folder}") / "stream.toml").write_text("name = ")
    (make("", folder=f"b/{folder}") / "stream.toml").write_text("name = ")
    names = list(streams())
    assert len(names) == 3
    assert all(map(is_name, names))


def test_two_folders_of_one_name_are_both_named(make: Make) -> None:
    first, second = make("orders"), make("orders", folder="again")
    assert str(first) in told("orders")
    assert str(second) in told("orders")
    assert stream_of(load()).table == "engagement_events"


def test_a_stream_that_is_not_there_is_refused_with_those_that_are(make: Make) -> None:
    make("orders")
    assert "There is no stream order; there are engagement, orders." in told("order")


@pytest.mark.parametrize("name", ["REFUNDS", "ORDERS_2", "ENGAGEMENTS"])
def test_a_setting_of_a_stream_that_is_not_there_stops_none(
    make: Make, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make("orders")
    assert not strange_variables()
    monkeypatch.setenv(f"ENGAGEMENT_{name}__TOPIC", "x")
    for stream in ("engagement", "orders"):
        assert stream_of(load(stream)).name == stream
    (error,) = strange_variables()
    assert f"ENGAGEMENT_{name}__TOPIC is of the stream {name.lower()}, which is not there" in str(error)


@pytest.mark.parametrize("name", ["ODERS", "ORDER", "ORDERSS"])
def test_a_slip_in_the_name_of_a_stream_stops_that_stream_alone(
    make: Make, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make("orders")
    make("visits")
    monkeypatch.setenv(f"ENGAGEMENT_{name}__TOPIC", "x")
    assert f"ENGAGEMENT_{name}__TOPIC is of the stream {name.lower()}, which is not there, and seems" in told("orders")
    for stream in ("engagement", "visits"):
        assert stream_of(load(stream)).name == stream
    monkeypatch.delenv(f"ENGAGEMENT_{name}__TOPIC")
    assert stream_of(load("orders")).name == "orders"


def test_settings_of_a_stream_whose_folder_is_broken_stop_no_other(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    (make("orders", folder="shop") / "stream.toml").write_text("name = ")
    monkeypatch.setenv("ENGAGEMENT_ORDERS__TOPIC", "x")
    assert stream_of(load()).table == "engagement_events"


@pytest.mark.parametrize(
    ("variable", "value", "by"),
    [
        ("TOPIC", "engagement-events", "topic of engagement"),
        ("TOPIC", "engagement-dead-letters", "dead_letter_topic of engagement"),
        ("REPLAY_TOPIC", "engagement-events", "topic of engagement"),
        ("CHECKPOINT_TOPIC", "engagement-relay-checkpoint", "checkpoint_topic of engagement"),
        ("DEAD_LETTER_TOPIC", "engagement-events-replay", "replay_topic of engagement"),
        ("REDIS_NAMESPACE", "engagement", "redis_namespace of engagement"),
        ("FORWARD_GROUP", "engagement-forward", "forward_group of engagement"),
    ],
)
def test_two_streams_share_no_topic_namespace_or_group(
    make: Make, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, by: str
) -> None:
    make("orders")
    stream_of(load("orders"))
    monkeypatch.setenv(f"ENGAGEMENT_ORDERS__{variable}", value)
    with about("orders"):
        said = told("orders")
    assert "The streams engagement and orders" in said
    assert value in said
    assert by in said
    assert f"ENGAGEMENT_ORDERS__{variable}" in said
    stream_of(load())  # the one that was there before goes on


@pytest.mark.parametrize(
    ("table", "marts"), [("engagement_events", ()), ("daily_device_engagement", ()), ("orders", ("engagement_events",))]
)
def test_two_streams_share_no_table(
    make: Make, monkeypatch: pytest.MonkeyPatch, table: str, marts: tuple[str, ...]
) -> None:
    make("orders", table=table, marts=marts)
    said = told("orders")
    assert "The streams engagement and orders would both write to the table" in said
    assert (
        f"the name of its file marts/{marts[0]}.sql" if marts else "table under [warehouse] in its stream.toml"
    ) in said
    monkeypatch.setenv("ENGAGEMENT_ORDERS__WAREHOUSE_URI", "/elsewhere")
    assert told("orders") == said, "Dagster knows tables by their names, wherever they lie"


def test_streams_that_cannot_be_used_claim_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make("orders")
    make("visits")
    monkeypatch.setenv("ENGAGEMENT_VISITS__TOPIC", "orders-events")
    assert "orders and visits" in told("visits")
    monkeypatch.setenv("ENGAGEMENT_ORDERS__LEASE_SECONDS", "soon")
    stream_of(load("visits"))


def test_files_of_other_streams_lie_elsewhere(make: Make) -> None:
    make("orders")
    common, own = load(), load("orders")
    assert common.own_dir == common.state_dir
    assert own.own_dir != common.own_dir
    assert own.state_dir == common.state_dir
