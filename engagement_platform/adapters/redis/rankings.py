"""Rankings for many readers at once, over the client of an event loop. `Views` reads the same for one thread."""

from typing import Any

import redis
import redis.asyncio

from engagement_platform.adapters.redis import scripts
from engagement_platform.adapters.redis.connection import connect_redis_async, explained, server_of
from engagement_platform.adapters.redis.keys import Keys
from engagement_platform.adapters.redis.ranking_script import SCRIPT, Ranking, arguments, ranking_of
from engagement_platform.settings import Settings


class Rankings:
    """Reads rankings of a stream's views. For one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.redis
        self._client = connect_redis_async(settings.redis)
        self._server = server_of(self._client, settings.redis)
        self._meta = Keys.live(settings.redis.namespace).meta
        self._text = scripts.source(SCRIPT)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def top(self, dimension: str, measure: str, n: int) -> Ranking:
        """Return the `n` members with the highest sum of a measure, the highest first.

        Raises Unavailable when Redis does not answer, Refused and StreamStopped for what a person has to put right.
        """
        try:
            return ranking_of(await self._run(*arguments(dimension, measure, n)))
        except redis.exceptions.RedisError as error:
            await self._client.connection_pool.disconnect()
            told = explained(error, self._server)
            if told is None:
                raise
            raise told from None

    async def _run(self, *args: str) -> Any:
        """Run the script; a server that does not know it, new or restarted, is sent the text."""
        try:
            return await self._client.evalsha(scripts.digest(self._text), 1, self._meta, *args)
        except redis.exceptions.NoScriptError:
            return await self._client.eval(self._text, 1, self._meta, *args)
