"""The tally's side of Redis: counting a batch, and replacing the views by newly built ones.

Every method runs one script, so each happens as a whole or not at all. Raises Unavailable when Redis does not answer;
then it is unknown whether the script ran, and the caller reads `state` before it goes on. Raises StreamStopped when
Redis refuses, or holds what the tally did not write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, Literal, cast

import msgspec
import redis

from engagement_platform.adapters.redis.connection import address, reaching, settings_of
from engagement_platform.adapters.redis.counted import UNSAID, counted_by, require_readable
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.refusals import make_room
from engagement_platform.adapters.redis.scripts import run
from engagement_platform.domain.clocks import UNKNOWN, Between
from engagement_platform.domain.duplicates import WalPositions, from_text, to_text
from engagement_platform.domain.errors import StreamStopped
from engagement_platform.domain.event_stream import EventStream
from engagement_platform.domain.playback import Evictions
from engagement_platform.domain.shards import WHOLE, Shard
from engagement_platform.domain.windows import Adds, Window

BUILD_LIFETIME_MS: Final = 60_000
"""How long a build lives without a batch: longer than any pause of a living tally."""

_BUILDER_MS: Final = 10_000
"""After so long without a sign of life of the shard that builds another one may."""

_EXACT: Final = 1 << 53
_BASE: Final = 1 << 40
"""The same as in common.lua."""

Promotion = Literal["promoted", "raced", "gone"]


@dataclass(frozen=True, slots=True)
class ViewsState:
    """What a generation is and up to where it counted, at one moment."""

    generation: str | None
    topic_id: str | None
    window: Window | None
    as_of_ms: int
    now_ms: int
    """Redis' clock."""
    offsets: Mapping[int, int]
    """partition -> offset of the next message to count; empty when Redis is without its data."""
    clock_ms: int = 0
    """The latest time of Redis at which anything was counted; later than `as_of_ms` where one shard lags."""
    evictions: Evictions | None = None
    """What the server had evicted when the build of the generation began; None of an older version."""
    counted: str = UNSAID
    """What the generation counts, as `counted_by` says it."""
    wal_positions: WalPositions = field(default_factory=dict)
    """Where the latest messages before the offsets stand in the log of a publisher that may publish twice."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call counts."""

    generation: str
    topic_id: str
    offsets: Mapping[int, tuple[int, int]]
    """partition -> (expected offset, next offset)."""
    wal_positions: WalPositions = field(default_factory=dict)
    """Where the latest messages stand in the log of a publisher that may publish twice."""
    buckets: Mapping[int, Adds] = field(default_factory=dict)
    display: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """dimension -> member -> JSON of what to show for it."""
    lag: int = 0
    lags: Mapping[int, int] = field(default_factory=dict)
    """partition -> its part of the lag; only told by one of several shards."""
    kafka_clock: Between = UNKNOWN
    """What is known of Kafka's clock at present: Redis' clock is held against it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The batch is counted and readable."""

    as_of_ms: int
    late: int
    future: int
    """Events that lie too far ahead. Those of the next hour are kept, and counted when their time comes."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed, because the present state is not what the batch expects."""

    reason: str
    state: ViewsState


class Counts:
    """Counts into the live views, or into a build of new ones."""

    def __init__(
        self, client: redis.Redis, namespace: str, window: Window, stream: EventStream, shard: Shard = WHOLE
    ) -> None:
        self._client = client
        self._shard = shard
        self._namespace = namespace
        self._window = window
        self._counted = counted_by(stream)

    def fits(self, state: ViewsState) -> bool:
        """Say whether a generation counts what this one counts, in the same window."""
        return state.window == self._window and state.counted == self._counted

    def state(self, build: str | None = None) -> ViewsState:
        """Read the live generation, or that of a build."""
        with reaching(self._client):
            reply = run(self._client, "state", [self._keys(build).meta])
        return self._readable(cast("list[Any]", reply))

    def apply(self, batch: Batch, *, build: bool = False) -> Applied | Refused:
        """Count a batch, slide the window and move the offsets; or change nothing. An empty batch slides only."""
        packed = msgspec.msgpack.encode(
            {
                "generation": batch.generation,
                "topic_id": batch.topic_id,
                "offsets": [(partition, *move) for partition, move in batch.offsets.items()],
                "wal": [(partition, to_text(position)) for partition, position in batch.wal_positions.items()],
                "buckets": {str(start): _packable(adds) for start, adds in batch.buckets.items()},
                "display": batch.display,
                "lag": batch.lag,
                "kafka_at_least": batch.kafka_clock.at_least_ms or 0,
                "kafka_at_most": batch.kafka_clock.at_most_ms or 0,
                "lifetime_ms": BUILD_LIFETIME_MS if build else 0,
                **({} if build or self._shard.is_whole else {"parts": list(batch.lags.items())}),
                **self._geometry(),
            }
        )
        keys = self._keys(batch.generation if build else None)
        with reaching(self._client):
            reply = cast("list[Any]", run(self._client, "apply", [keys.meta], packed))
        if reply[0] == "applied":
            return Applied(*reply[1:])
        return Refused(reply[0], self._readable(reply[1]))

    def begin(
        self, generation: str, topic_id: str, offsets: Mapping[int, int], evictions: Evictions | None = None
    ) -> None:
        """Start the build of new views. It expires unless batches are applied to it."""
        packed = msgspec.msgpack.encode(
            {
                "generation": generation,
                "topic_id": topic_id,
                "offsets": list(offsets.items()),
                "evicted": "" if evictions is None else f"{evictions.keys} {evictions.run_id}",
                "lifetime_ms": BUILD_LIFETIME_MS,
                **self._geometry(),
            }
        )
        with reaching(self._client):
            run(self._client, "begin", [self._keys(generation).meta], packed)

    def promote(self, generation: str, base: str | None) -> Promotion:
        """Put a build in the place of the live views, if the live generation still is `base`."""
        keys = [self._keys(None).meta, self._keys(generation).meta]
        with reaching(self._client):
            return cast("Promotion", run(self._client, "promote", keys, base or "", generation))

    def discard(self, generation: str) -> None:
        """Remove a build."""
        with reaching(self._client):
            run(self._client, "discard", [self._keys(generation).meta])

    def may_build(self, builder: str) -> bool:
        """Say whether this one of several shards is to build new views, which takes all partitions; for 10 s anew.

        It only saves work: of two builds one is put in the place of the live views.
        """
        key = self._keys(None).builder
        with reaching(self._client):
            if self._client.set(key, builder, nx=True, px=_BUILDER_MS):
                return True
            return bool(self._client.get(key) == builder and self._client.pexpire(key, _BUILDER_MS))

    def has_built(self, builder: str) -> None:
        """Let another shard build."""
        key = self._keys(None).builder
        with reaching(self._client):
            if self._client.get(key) == builder:
                self._client.unlink(key)

    def check_policy(self) -> None:
        """Raise StreamStopped when Redis could evict a part of the counts and keep the offsets."""
        policy = eviction_policy(self._client)
        if policy != "noeviction":
            raise _evicts(self._client, policy)

    def evictions(self) -> Evictions:
        """Return what the server has evicted. Cheap: one round trip.

        Raises StreamStopped when it may evict: looked at again and again, since anybody can change its policy.
        """
        with reaching(self._client), self._client.pipeline(transaction=False) as pipe:
            for section in ("server", "memory", "stats"):
                pipe.info(section)
            server, memory, stats = pipe.execute()
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if policy != "noeviction":
            raise _evicts(self._client, policy)
        return Evictions(str(server.get("run_id") or "unknown"), int(stats.get("evicted_keys", 0)))

    def _readable(self, reply: list[Any]) -> ViewsState:
        try:
            return _state(reply)
        except (ValueError, KeyError):
            raise StreamStopped(
                f"In Redis at {address(self._client)} the views' meta or offsets hold what the tally did not write.",
                make_room(settings_of(self._client)),
            ) from None

    def _keys(self, build: str | None) -> Keys:
        return Keys.live(self._namespace) if build is None else Keys.build(self._namespace, build)

    def _geometry(self) -> dict[str, int | str]:
        window = self._window
        return {
            "window_ms": window.length_ms,
            "bucket_ms": window.bucket_ms,
            "max_future_ms": window.max_future_ms,
            "counted": self._counted,
        }


def _evicts(client: redis.Redis, policy: str) -> StreamStopped:
    return StreamStopped(
        f"Redis at {address(client)} has maxmemory-policy {policy}, which could evict counts unseen.",
        "Set it to noeviction: redis-cli CONFIG SET maxmemory-policy noeviction, and in its configuration. "
        "What was evicted meanwhile is counted again from Kafka by itself.",
    )


def eviction_policy(client: redis.Redis) -> str:
    """Return the effective maxmemory-policy. Managed services forbid CONFIG, so INFO is asked then."""
    with reaching(client):
        try:
            return str(client.config_get("maxmemory-policy")["maxmemory-policy"])
        except (redis.exceptions.ResponseError, KeyError) as error:
            if isinstance(error, redis.exceptions.ReadOnlyError | redis.exceptions.OutOfMemoryError):
                raise
            return str(client.info("memory").get("maxmemory_policy", "unknown"))


def forget_offsets(client: redis.Redis, namespace: str) -> None:
    """Remove the offsets of the live views, which readers keep, and the keys that another program has spoiled."""
    keys = Keys.live(namespace)
    with reaching(client):
        client.unlink(keys.offsets, keys.wal)
        if client.type(keys.buckets) not in ("zset", "none"):
            # Before the key that lists them: without it they would be added to when their time comes.
            for key in client.scan_iter("*:bucket:*", count=1_000):
                if key.startswith(keys.bucket_prefix):
                    client.unlink(key)
            client.unlink(keys.buckets)
        if not _has_readable_meta(client, keys):
            client.unlink(keys.meta)


def _has_readable_meta(client: redis.Redis, keys: Keys) -> bool:
    if client.type(keys.meta) != "hash":
        return False
    try:
        _state(cast("list[Any]", run(client, "state", [keys.meta])))
    except (ValueError, KeyError):
        return False
    return True


def _packable(adds: Adds) -> Mapping[str, Mapping[str, Sequence[object]]]:
    """Return the adds with sums beyond what Lua's numbers hold exactly in two parts; mostly there are none."""
    numbers = list(chain.from_iterable(chain.from_iterable(sums.values() for sums in adds.values())))
    if not numbers or (min(numbers) > -_EXACT and max(numbers) < _EXACT):
        return adds
    return {
        dimension: {member: [_parts(number) for number in numbers] for member, numbers in sums.items()}
        for dimension, sums in adds.items()
    }


def _parts(number: int) -> int | tuple[int, int]:
    return number if -_EXACT < number < _EXACT else divmod(number, _BASE)


def _state(reply: list[Any]) -> ViewsState:
    meta, offsets, now_ms = _pairs(reply[0]), _pairs(reply[1]), int(reply[2])
    window = None
    if "window_ms" in meta:
        window = Window(int(meta["window_ms"]), int(meta["bucket_ms"]), int(meta["max_future_ms"]))
    require_readable(meta.get("counted", UNSAID))
    return ViewsState(
        generation=meta.get("generation"),
        topic_id=meta.get("topic_id"),
        window=window,
        as_of_ms=int(meta.get("as_of", 0)),
        now_ms=now_ms,
        offsets={int(partition): int(offset) for partition, offset in offsets.items()},
        clock_ms=max(int(meta.get("as_of", 0)), int(meta.get("clock", 0))),
        evictions=_evictions(meta.get("evicted", "")),
        counted=meta.get("counted", UNSAID),
        wal_positions={int(partition): from_text(text) for partition, text in _pairs(reply[3]).items()},
    )


def _evictions(text: str) -> Evictions | None:
    keys, _, run_id = text.partition(" ")
    return Evictions(run_id, int(keys)) if run_id else None


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
