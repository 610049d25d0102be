"""Passwords that are hard to hide. Each holds a word that stands nowhere else, so that any part of one is noticed."""

from hypothesis import strategies as st

CANARY = "hunter2"

_SPECIAL = "@:/'\\ =?#%&[]{}()\"*,;$!~é"
_pieces = st.text(st.sampled_from(_SPECIAL + "ab1"), max_size=6)


def passwords() -> st.SearchStrategy[str]:
    """Return passwords with special characters before, between and after."""
    return st.builds(lambda *pieces: CANARY.join(pieces), _pieces, _pieces, _pieces)


def quoted(password: str) -> str:
    """Return a password as the value of a key=value DSN."""
    escaped = password.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
