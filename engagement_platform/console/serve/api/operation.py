"""What the JSON API can be asked: each operation is one value, from which its route and its documentation are made.

To add one:

1. Write its types as `msgspec.Struct`s, with a docstring and `Meta(description=…)`: the answer; the parameters, a
   subclass of `Parameters` (those in braces in the path, and those of the query); the body, where it has one.
2. Write the function that answers: it takes an `Asked` and returns the answer. It may block: it runs in a thread,
   unless the operation says `quick=True` (it waits for nothing) or `of_sample=True` (it reads the latest sample only,
   and says the same until the next one). It raises `Refusal` for what the caller did wrong, and lets an EngagementError
   through, which becomes a problem for people.
3. Put an `Operation` into the module's `OPERATIONS`, and the module's into `table.OPERATIONS`.

A change (`changes=True`) needs the token, and its function records it before it makes it: `adapters.platform.audit`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta
from starlette.types import ASGIApp

from engagement_platform.console.serve.api.problem import Refusal
from engagement_platform.domain.errors import EngagementError
from engagement_platform.domain.stream_names import PACKAGED
from engagement_platform.settings import Settings

if TYPE_CHECKING:
    from engagement_platform.console.serve.site import Site

PREFIX = "/api/v1"

P = TypeVar("P", bound="Parameters")
B = TypeVar("B")

StreamName = Annotated[
    str,
    Meta(
        pattern="^[a-z][a-z0-9_]{0,39}$",
        description="The stream that is meant; by default `engagement`, or the only one.",
    ),
]


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request asks with, in its path and its query. By itself: nothing."""


class OfStream(Parameters, frozen=True, kw_only=True):
    """One stream."""

    stream: StreamName | None = None


@dataclass(frozen=True, slots=True)
class Asked(Generic[P, B]):
    """A request, with its types as the operation says."""

    site: "Site"
    parameters: P
    body: B
    who: str = ""
    """Of a change: who makes it."""
    key: str | None = None
    """Of a change: the Idempotency-Key, by which a repeated request is known."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of the API."""

    method: str
    path: str
    """As a person types it, with the names of parameters in braces."""
    name: str
    """Of its own among all operations; generated clients call a function so."""
    summary: str
    answer: Any
    """The type of the answer."""
    handle: Callable[[Asked[Any, Any]], Any] | None = None
    """Returns the answer; None where `app` answers."""
    parameters: type[Parameters] = Parameters
    body: Any = None
    """The type of the body; None for a request without one."""
    status: int = 200
    quick: bool = False
    """It reads the latest sample only, so it needs no thread."""
    of_sample: bool = False
    """Its answer follows from the latest sample and the parameters alone, so it is made once for each sample."""
    changes: bool = False
    """It needs the token. Its `handle` records who does what before it does it."""
    keyed: bool = False
    """It takes an Idempotency-Key. A change that is the same once or twice needs none."""
    app: Callable[["Site"], ASGIApp] | None = None
    """Answers by itself, for what is asked too often to be read and written by the general way."""
    refusals: Mapping[int, str] = field(default_factory=dict)
    """Further statuses that it answers with problems -> what they mean."""

    @property
    def tag(self) -> str:
        """Under which heading it stands: the first part of the path."""
        return self.path.removeprefix(PREFIX).strip("/").partition("/")[0]


def settings_of(site: "Site", name: str | None) -> Settings:
    """Return the settings of a stream; without a name of the packaged one, or of the only one.

    Raises Refusal for a stream that there is not, and the SettingsError of one that cannot be used.
    """
    settings = site.streams[stream_of(site, name)]
    if isinstance(settings, EngagementError):
        raise settings
    return settings


def stream_of(site: "Site", name: str | None) -> str:
    """Return the name of the stream that is meant. Raises Refusal."""
    names = list(site.streams)
    chosen = name or (PACKAGED if PACKAGED in names else names[0] if len(names) == 1 else None)
    if chosen is None:
        raise Refusal(400, "which-stream", "Say which stream is meant.", f"Add stream= with one of {', '.join(names)}.")
    if chosen not in names:
        raise Refusal(404, "no-stream", f"There is no stream {chosen}.", f"There are: {', '.join(names) or 'none'}.")
    return chosen
