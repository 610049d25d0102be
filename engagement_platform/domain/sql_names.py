"""Writes names as SQL takes them, in quotation marks only where they need them, for people to read and to copy."""

import re

_RESERVED_WORDS = """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate
    collation column concurrently constraint create cross current_catalog current_date current_role
    current_schema current_time current_timestamp current_user default deferrable desc distinct do else end
    event except false fetch for foreign freeze from full grant group having ilike in initially inner
    intersect into is isnull join lateral leading left like limit localtime localtimestamp natural not
    notnull null offset on only or order outer overlaps placing primary references returning right select
    session_user similar some symmetric system_user table tablesample then to trailing true union unique user
    using variadic verbose when where window with
"""
RESERVED = frozenset(_RESERVED_WORDS.split())
"""What PostgreSQL takes as no plain name."""
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def written(name: str) -> str:
    """Return a name as a statement of PostgreSQL has it."""
    return name if _PLAIN.fullmatch(name) and name not in RESERVED else '"' + name.replace('"', '""') + '"'
