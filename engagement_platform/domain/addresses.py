"""What the address of a server must look like, told without ever repeating one: addresses hold passwords.

Clients read a malformed address in their own way and name its parts in their errors, the password among them. So
what they would misread is refused first. Nothing here connects or resolves anything.
"""

import re
from urllib.parse import unquote_to_bytes, urlsplit

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:@/?#,\[\]]*)(?::\d{0,5})?"
_BROKER = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:@/?#,=\[\]]+)(?::\d{1,5})?"
_PAIR = r"[a-z_]+\s*=\s*(?:'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)"

# PostgreSQL's client ends user and password at the first @, Redis' at the last one before a slash.
_POSTGRES_URL = re.compile(
    rf"postgres(?:ql)?://(?:[^\s:@/]*(?::[^\s@/]*)?@)?{_HOST}(?:,{_HOST})*(?:/[^\s@?]*)?(?:\?[^\s@]*)?"
)
_POSTGRES_PAIRS = re.compile(rf"\s*{_PAIR}(?:\s+{_PAIR})*\s*")
_REDIS_URL = re.compile(rf"rediss?://(?:[^\s/?#\[\]]*@)?{_HOST}(?:/\d*)?(?:\?[^\s@#]*)?")
_REDIS_SOCKET = re.compile(r"unix://(?:[^\s/?#\[\]]*@)?/[^\s?#@]*(?:\?[^\s@#]*)?")
_BROKERS = re.compile(rf"{_BROKER}(?:,{_BROKER})*")

_HTTP_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?"
_HTTP_URL = re.compile(rf"https?://{_HTTP_HOST}(?:/[!-~]*)?(?:\?[!-~]*)?")
_PROXY_URL = re.compile(rf"https?://(?:[^\s:@/?#]+(?::[^\s:@/?#]*)?@)?{_HTTP_HOST}/?")

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Surrogates are what Python makes of bytes in the environment that are no UTF-8."""
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")

# Without an at sign: `redact` would take what stands before it for a password.
_ENCODE = "with special characters of user and password percent-encoded as UTF-8 (%40 for an at sign, %2F for a slash)"
_POSTGRES_URL_EXPECTED = f"it must be a URL such as postgresql://host:5432/database, {_ENCODE}"


def postgres_fault(text: str) -> str | None:
    """Return what is expected where `text` is neither a URL nor a key=value DSN of PostgreSQL; None when it is one."""
    if postgres_url_fault(text) is None or (_POSTGRES_PAIRS.fullmatch(text) and not _CONTROL.search(text)):
        return None
    return f"{_POSTGRES_URL_EXPECTED}, or key=value pairs, with \\' for a quote within quotes"


def postgres_url_fault(text: str) -> str | None:
    """Return what is expected where `text` is not a URL of PostgreSQL; None when it is one."""
    wellformed = _POSTGRES_URL.fullmatch(text) and not _BROKEN_ESCAPE.search(text) and not _CONTROL.search(text)
    return None if wellformed and _is_text(text) else _POSTGRES_URL_EXPECTED


def redis_fault(text: str) -> str | None:
    """Return what is expected where `text` is not a URL of Redis; None when it is one."""
    if (_REDIS_URL.fullmatch(text) or _REDIS_SOCKET.fullmatch(text)) and _is_split(text):
        return None
    return f"it must be a URL such as redis://host:6379/0, {_ENCODE}"


def brokers_fault(text: str) -> str | None:
    """Return what is expected where `text` does not name Kafka brokers; None when it does."""
    wellformed = _BROKERS.fullmatch(text) and not _CONTROL.search(text)
    return None if wellformed else "it must be host:port, or several with commas and no spaces between"


def http_fault(text: str) -> str | None:
    """Return what is expected where `text` is not the URL of an API; None when it is one, or empty.

    Credentials do not belong into it: logs of servers and proxies repeat it.
    """
    path, _, query = text.partition("?")
    wellformed = _HTTP_URL.fullmatch(text) and _is_split(text) and not {"@", "#"} & set(path) and "#" not in query
    if not text or (wellformed and not _BROKEN_ESCAPE.search(text)):
        return None
    return "it must be a URL such as https://host/path, percent-encoded and without user or password"


def proxy_fault(text: str) -> str | None:
    """Return what is expected where `text` is not the URL of an HTTP proxy; None when it is one, or empty."""
    if not text or (_PROXY_URL.fullmatch(text) and _is_split(text) and not _BROKEN_ESCAPE.search(text)):
        return None
    return f"it must be a URL such as http://host:3128, {_ENCODE}"


def origin(url: str) -> str:
    """Return scheme, host and port of a wellformed URL: what may be shown of it, for the path may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _is_text(url: str) -> bool:
    """Say whether what is percent-encoded is UTF-8: psycopg takes nothing else."""
    try:
        unquote_to_bytes(url).decode()
    except UnicodeError:
        return False
    return True


def _is_split(url: str) -> bool:
    """Say whether urllib, with which Redis' client takes a URL apart, can do so: its errors quote what it cannot."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return not _CONTROL.search(url)
