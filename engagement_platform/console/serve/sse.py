"""What is live: `/events` sends each browser the parts of the page Now that have changed, once a second.

A part is rendered once for each stream, language and sample, however many browsers look. A browser connects again by
itself; one that lies in the background has closed the connection.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from engagement_platform.console.serve.headline import is_stale
from engagement_platform.console.serve.now import REGIONS, values_of
from engagement_platform.console.serve.refusals import PageRefusal
from engagement_platform.console.serve.sampler import Sample
from engagement_platform.console.serve.site import Site
from engagement_platform.console.serve.texts import Texts

MOST_BROWSERS = 200
SILENT_SECONDS = 2.0
"""While no new sample comes the connection says so often that it lives."""
_RETRY_MS = 1_000
_LOOKS_SECONDS = 0.2
"""How often is looked whether the process ends."""
_OLDER_SECONDS = 10.0
"""How often a page says anew how old it is, of a sample that is too old."""
_Shown = tuple[int, int]
"""What makes the parts of a page other ones: the sample's number, and how old it is where it is too old."""


def routes(site: Site) -> Sequence[BaseRoute]:
    """Return the route of the events."""
    hub = Hub(site)

    async def events(request: Request) -> Response:
        texts, stream = site.texts(request), site.stream(request)
        of_all = not request.query_params.get("stream")
        if hub.browsers >= MOST_BROWSERS:
            raise PageRefusal(503, "many_browsers", {"retry-after": "10"})
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(
            hub.events(stream, texts, of_all=of_all), headers=headers, media_type="text/event-stream"
        )

    return [Route("/events", events)]


class Hub:
    """Hands new samples to all browsers. For one event loop."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.browsers = 0
        self._rendered: dict[tuple[str, str, bool], tuple[_Shown, dict[str, str]]] = {}
        self._changed = asyncio.Event()
        self._end_listening: Callable[[], None] = lambda: None
        self._watch: asyncio.Task[None] | None = None

    async def events(self, stream: str, texts: Texts, *, of_all: bool) -> AsyncIterator[str]:
        """Yield events until the browser goes or the process ends."""
        self._come()
        sent: dict[str, str] = {}
        shown: _Shown | None = None
        try:
            yield f"retry: {_RETRY_MS}\n\n"
            while not self._site.is_closing():
                changed = self._changed
                sample = self._site.sampler.look()
                if (present := _shown(sample)) != shown:
                    shown = present
                    regions = self._regions(sample, stream, texts, of_all=of_all)
                    parts = {name: html for name, html in regions.items() if sent.get(name) != html}
                    sent |= parts
                    yield _event("now", {"at": sample.at, "as_of": texts.moment(sample.at), "regions": parts})
                else:
                    yield _event("alive", {"at": sample.at})
                await _either(changed, SILENT_SECONDS)
        finally:
            self._go()

    def _come(self) -> None:
        if self.browsers == 0:
            loop = asyncio.get_running_loop()

            def pulse() -> None:
                loop.call_soon_threadsafe(self._pulse)

            self._end_listening = self._site.sampler.listen(pulse)
            self._watch = loop.create_task(self._wake_all_at_the_end())
        self.browsers += 1

    def _go(self) -> None:
        self.browsers -= 1
        if self.browsers == 0:
            self._end_listening()
            if self._watch is not None:
                self._watch.cancel()

    async def _wake_all_at_the_end(self) -> None:
        while not self._site.is_closing():
            await asyncio.sleep(_LOOKS_SECONDS)
        self._pulse()

    def _pulse(self) -> None:
        """Wake all that wait, and let the next ones wait for the next sample."""
        before, self._changed = self._changed, asyncio.Event()
        before.set()

    def _regions(self, sample: Sample, stream: str, texts: Texts, *, of_all: bool) -> dict[str, str]:
        """Return the parts of the page, rendered once for all that see the same."""
        key = (stream, texts.language, of_all)
        shown, regions = self._rendered.get(key, (None, {}))
        if shown != _shown(sample):
            values = values_of(sample, stream, texts, of_all=of_all)
            regions = {name: self._site.fragment(f"now/{name}.html", texts, **values) for name in REGIONS}
            self._rendered[key] = (_shown(sample), regions)
        return regions


def _shown(sample: Sample) -> _Shown:
    now = time.time()
    return sample.number, int((now - sample.at) // _OLDER_SECONDS) if is_stale(sample, now) else 0


async def _either(changed: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(changed.wait(), seconds)
    except TimeoutError:
        return


def _event(name: str, data: dict[str, object]) -> str:
    return f"event: {name}\ndata: {json.dumps({**data, 'sent': time.time()}, ensure_ascii=False)}\n\n"
