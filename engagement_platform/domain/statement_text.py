"""What the text of a statement tells by itself: which functions it calls, which relations it reads, and in which line.

PostgreSQL says neither of a statement that is only prepared.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto


class Part(Enum):
    """What a piece of a statement is.

    In PostgreSQL `/* a /* b */ c */` is one comment, in BigQuery it ends at the first `*/`. What is never closed counts
    as code, so that the server says so.
    """

    CODE = auto()
    TEXT = auto()
    """With its quotes."""
    NAME = auto()
    """A quoted one, with its quotes."""
    COMMENT = auto()


Pieces = Iterator[tuple[Part, str]]

POSTGRES = re.compile(
    r"""(?P<text>(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*'(?:\s*\n\s*'(?:[^'\\]|\\.|'')*')* | '(?:[^']|'')*'
        | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    | (?P<name>"(?:[^"]|"")*")
    | (?P<comment>--[^\n\r]* | /\*)""",
    re.VERBOSE | re.DOTALL,
)
BIGQUERY = re.compile(
    r"""(?P<text>'{3}(?:[^\\]|\\.)*?'{3} | "{3}(?:[^\\]|\\.)*?"{3} | '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*")
    | (?P<name>`(?:[^`\\]|\\.)*`)
    | (?P<comment>(?:--|\#)[^\n]* | /\*.*?\*/)""",
    re.VERBOSE | re.DOTALL,
)
_PARTS = {"text": Part.TEXT, "name": Part.NAME, "comment": Part.COMMENT}
_OPEN = "/*"
_BRACKETS = re.compile(r"/\*|\*/")


def pieces_of(text: str, dialect: re.Pattern[str] = POSTGRES) -> Pieces:
    """Yield the pieces of a statement, in their order: together they are the text."""
    at = 0
    while match := dialect.search(text, at):
        begin, end = match.span()
        if match[0] == _OPEN:
            end = _end_of_comment(text, begin)
            if not end:
                break
        if at < begin:
            yield Part.CODE, text[at:begin]
        yield _PARTS[match.lastgroup or ""], text[begin:end]
        at = end
    if at < len(text):
        yield Part.CODE, text[at:]


def _end_of_comment(text: str, begin: int) -> int:
    """Return where a comment ends that may have others in it; 0 where it does not."""
    depth = 0
    for bracket in _BRACKETS.finditer(text, begin):
        depth += 1 if bracket[0] == _OPEN else -1
        if not depth:
            return bracket.end()
    return 0


_NO_COMMENT = (Part.CODE, Part.TEXT, Part.NAME)
_NO_LINE_BREAK = re.compile(r"[^\n]")
_BLANKS = re.compile(r"\s+")
_CALL = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
_PART = r'(?:[A-Za-z_]\w*|"(?:[^"]|"")+")'
_READ = re.compile(rf"\b(?:FROM|JOIN)\s+(?:ONLY\s+)?({_PART}(?:\s*\.\s*{_PART})?)", re.IGNORECASE)
_LIMIT = re.compile(r"\b(?:LIMIT\s+(\S+)|FETCH\s+(?:FIRST|NEXT)\s+(?:(\d+)\s+)?ROWS?)", re.IGNORECASE)

CLOCKS = frozenset({"now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "timeofday"})
CLOCK_WORDS = ("current_date", "current_timestamp", "current_time", "localtimestamp", "localtime")
SESSION = frozenset(
    {
        *("current_setting", "current_database", "version", "pg_backend_pid", "txid_current", "pg_current_xact_id"),
        *("inet_client_addr", "inet_client_port", "inet_server_addr", "inet_server_port"),
        *("pg_postmaster_start_time", "pg_is_in_recovery", "pg_current_wal_lsn"),
    }
)
SYSTEM_COLUMNS = ("ctid", "xmin", "xmax", "cmin", "cmax")
SESSION_WORDS = ("current_user", "session_user", "current_role", "current_schema")
BY_CHANCE = frozenset(
    {
        *("random", "random_normal", "setseed", "gen_random_uuid", "uuidv4", "uuidv7"),
        *("nextval", "setval", "currval", "lastval"),
    }
)
"""Known without asking the source."""
_ALL_WORDS = "|".join((*CLOCK_WORDS, *SESSION_WORDS, *SYSTEM_COLUMNS))
_WORD = re.compile(rf"\b({_ALL_WORDS}|tablesample)\b", re.IGNORECASE)
_RELATIVE = re.compile(r"'(now|today|tomorrow|yesterday)'", re.IGNORECASE)


def code_of(text: str) -> str:
    """Return a statement with blanks for texts, quoted names and comments; each character keeps its place."""
    return _kept(pieces_of(text), Part.CODE)


def statement_of(text: str) -> str:
    """Return a statement with blanks for its comments, without final semicolon; each character keeps its place."""
    return _kept(pieces_of(text), *_NO_COMMENT).rstrip().removesuffix(";")


def statement_of_bigquery(text: str) -> str:
    """Return a statement in BigQuery's dialect with blanks for its comments, without final semicolon."""
    return _kept(pieces_of(text, BIGQUERY), *_NO_COMMENT).strip().removesuffix(";")


def code_and_names_of(text: str, dialect: re.Pattern[str] = POSTGRES) -> str:
    """Return a statement with blanks for texts and comments."""
    return _kept(pieces_of(text, dialect), Part.CODE, Part.NAME)


def _kept(pieces: Pieces, *parts: Part) -> str:
    return "".join(piece if part in parts else _NO_LINE_BREAK.sub(" ", piece) for part, piece in pieces)


def formula_of(text: str, dialect: re.Pattern[str] = POSTGRES) -> str:
    """Return what a statement computes, whatever its comments, line breaks and blanks; texts and quoted names stay."""
    parts, code = list[str](), ""
    for part, piece in pieces_of(text, dialect):
        if part in (Part.CODE, Part.COMMENT):
            code += piece if part is Part.CODE else " "
        else:
            parts += [_BLANKS.sub(" ", code), piece]
            code = ""
    return "".join([*parts, _BLANKS.sub(" ", code)]).strip()


def calls_in(text: str) -> frozenset[str]:
    """Return the names of what may be functions, in lower case."""
    return frozenset(match[1].lower() for match in _CALL.finditer(code_of(text)))


def relations_in(text: str) -> list[str]:
    """Return the names that stand behind FROM and JOIN, as they stand there, each once."""
    return list(dict.fromkeys(_read_in(text)))


def times_read(text: str, relation: str) -> int:
    """Return how often a relation stands behind FROM and JOIN, under this name."""
    return sum(name.lower() == relation.lower() for name in _read_in(text))


def _read_in(text: str) -> list[str]:
    return [re.sub(r"\s*\.\s*", ".", match[1]) for match in _READ.finditer(code_and_names_of(text))]


def changing_words(text: str) -> list[str]:
    """Return what gives another value at another time or in another session, and is no function, each once."""
    words = [match[1].lower() for match in _WORD.finditer(code_of(text))]
    texts = [piece for part, piece in pieces_of(text) if part is Part.TEXT and _RELATIVE.fullmatch(piece)]
    return list(dict.fromkeys([*words, *texts]))


def only_single_limits(text: str) -> bool:
    """Say whether each LIMIT is one of one row."""
    return all((match[1] or match[2] or "1").rstrip(");") == "1" for match in _LIMIT.finditer(code_of(text)))


def line_with(text: str, word: str) -> int | None:
    """Return the line, counted from 1, in which a word of the code stands first; None where it is in none."""
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
    match = pattern.search(text if word.startswith("'") else code_of(text)) or pattern.search(text)
    return None if match is None else text.count("\n", 0, match.start()) + 1


def strings_of(plan: object) -> Iterator[str]:
    """Yield the expressions of a plan: every text in it that is no name of a node."""
    if isinstance(plan, dict):
        for value in plan.values():
            yield from strings_of(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from strings_of(value)
    elif isinstance(plan, str):
        yield plan
