"""What the shell that starts the tests says, and what of it is for them."""

import re
from collections.abc import MutableMapping

_NOT_FOR_TESTS = re.compile(r"(ENGAGEMENT|DAGSTER)_(?!TEST_)|PG[A-Z]+$")
_LOOPBACK = "127.0.0.1,localhost"


def forget(environment: MutableMapping[str, str]) -> None:
    """Remove what a developer's shell says of servers, and reach those of the tests without a proxy.

    So says the README: `set -a; . .engagement/local.env`. What libpq reads, such as PGOPTIONS, goes too.
    """
    for name in filter(_NOT_FOR_TESTS.match, list(environment)):
        del environment[name]
    environment.update({"NO_PROXY": _LOOPBACK, "no_proxy": _LOOPBACK})
