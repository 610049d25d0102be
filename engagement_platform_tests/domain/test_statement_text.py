"""What the text of a statement tells by itself."""

from functools import partial

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement_platform.domain import statement_text as text
from engagement_platform.local.stack import Endpoints


def test_texts_quoted_names_and_comments_are_no_code() -> None:
    statement = "SELECT 'now()', \"random()\", $a$ nextval( $a$ -- version()\n , lower(a) /* timeofday() */ FROM t"
    assert text.calls_in(statement) == {"lower"}
    assert len(text.code_of(statement)) == len(statement)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a,\n  b", "\n\nSELECT a, b "),
        ("SELECT a, b", "SELECT a, -- the first\n b"),
        ("SELECT a, b", "SELECT a, /* '\n */ b -- the end; it's"),
        ("SELECT 'x  y',  b", "SELECT 'x  y', b"),
        ("SELECT $$ a -- b $$,  c", "SELECT $$ a -- b $$, c -- d"),
        (r"SELECT E'it\'s  --', b", r"SELECT  E'it\'s  --', b -- c"),
    ],
)
def test_comments_and_blanks_between_words_are_no_part_of_the_formula(one: str, other: str) -> None:
    assert text.formula_of(one) == text.formula_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT 'a b'", "SELECT 'a  b'"),
        ("SELECT 'a b'", "SELECT 'a\nb'"),
        ('SELECT 1 AS "a b"', 'SELECT 1 AS "a  b"'),
        ("SELECT $$a b$$", "SELECT $$a  b$$"),
        ("SELECT $t$a -- b$t$", "SELECT $t$a -- c$t$"),
        ("SELECT '--a'", "SELECT '--b'"),
        ("SELECT a -- one\n, b", "SELECT a -- one , b"),
        (r"SELECT E'it\'s -- a'", r"SELECT E'it\'s -- b'"),
        ("SELECT ab", "SELECT a/**/b"),
    ],
)
def test_texts_quoted_names_and_what_stands_behind_a_comment_are_part_of_it(one: str, other: str) -> None:
    assert text.formula_of(one) != text.formula_of(other)


NESTED = [
    ("SELECT 1 /* one /* two */ 3 */ + 4", "SELECT 1 + 4"),
    ("SELECT 1 /* one /* two */ ' */ + 4 /* ' */", "SELECT 1 + 4"),
    ("SELECT 1 /*/**/*/ + 4 /***/", "SELECT 1 + 4"),
    ("SELECT '/* ' || 1 /* ' */ || ' */'", "SELECT '/* ' || 1 || ' */'"),
    ("SELECT 1 -- /* one\n + 4 -- */", "SELECT 1 + 4"),
    ("SELECT 1 /* -- */ + 4", "SELECT 1 + 4"),
    ("SELECT 'a\n-- b\n'", "SELECT 'a\n-- b\n'"),
    ("SELECT $a$ /* $a$ || $$ */ $$", "SELECT $a$ /* $a$ || $$ */ $$"),
    ("SELECT 1 AS a$b$, 2 AS c$b$ /* 3 */", "SELECT 1 AS a$b$, 2 AS c$b$"),
    (r"SELECT E'\'/*' || '\' /* */", r"SELECT E'\'/*' || '\'"),
    ("SELECT E'a'\n'\\' -- b'", "SELECT E'a'\n'\\' -- b'"),
]


@pytest.mark.parametrize(("statement", "formula"), NESTED)
def test_comments_may_stand_in_comments(statement: str, formula: str) -> None:
    assert text.formula_of(statement) == text.formula_of(formula) == formula
    assert len(text.statement_of(statement + ";")) <= len(statement)
    assert text.formula_of(text.statement_of(statement + " ;\n-- the end")) == formula


@pytest.mark.servers
@pytest.mark.parametrize(("statement", "formula"), NESTED)
def test_postgresql_reads_both_as_one_statement(stack: Endpoints, statement: str, formula: str) -> None:
    with psycopg.connect(stack.admin_dsn) as connection:
        one, other, without = (
            connection.execute(sql.encode()).fetchone() for sql in (statement, formula, text.statement_of(statement))
        )
    assert one == other == without


COMMENTS = st.recursive(
    st.text("a '\"$\n;-", max_size=5).map(lambda inner: f"/*{inner}*/"),
    lambda inner: st.tuples(inner, inner).map(lambda both: f"/* {both[0]}{both[1]} */"),
    max_leaves=5,
)
LITERALS = st.text("ab /*-;\n", max_size=6).map(lambda inner: f"'{inner}'")


@given(st.lists(st.tuples(COMMENTS, LITERALS, COMMENTS), max_size=4))
def test_a_formula_has_all_texts_and_no_comment(pieces: list[tuple[str, str, str]]) -> None:
    statement = "SELECT " + " || ".join(f"{before}{literal}{after}" for before, literal, after in pieces)
    assert text.formula_of(statement) == ("SELECT " + " || ".join(literal for _, literal, _ in pieces)).strip()
    assert len(text.code_of(statement)) == len(statement)


def test_what_is_never_closed_is_left_to_the_server() -> None:
    for statement in ("SELECT 1 /* one /* two */", "SELECT 'a", "SELECT $a$ b"):
        assert text.statement_of(statement) == statement


def test_the_formula_in_the_dialect_of_bigquery() -> None:
    of = partial(text.formula_of, dialect=text.BIGQUERY)
    assert of("SELECT a, # one\n  b -- two") == of("SELECT a, b") == "SELECT a, b"
    assert of("SELECT a /* b /* c */ + d") == "SELECT a + d", "comments do not nest there"
    assert text.statement_of_bigquery("-- one\nSELECT '''\n-- a''' # two\n;") == "SELECT '''\n-- a'''      \n"
    for one, other in (
        (r"SELECT 'it\'s -- a'", r"SELECT 'it\'s -- b'"),
        ('SELECT "a # b"', 'SELECT "a # c"'),
        ("SELECT `a b`", "SELECT `a  b`"),
        ("SELECT '''it's -- a'''", "SELECT '''it's -- b'''"),
    ):
        assert of(one) != of(other)


def test_the_relations_behind_from_and_join() -> None:
    statement = (
        'SELECT 1 FROM shop.orders o LEFT JOIN "Shop" . "C d" ON true '
        "JOIN LATERAL (SELECT ' FROM w -- ' FROM x -- FROM y\n) z ON true /* FROM v /* */ */"
    )
    assert text.relations_in(statement)[:2] == ["shop.orders", '"Shop"."C d"']
    assert "x" in text.relations_in(statement)
    assert not {"v", "w", "y"} & set(text.relations_in(statement))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "SELECT current_date, CURRENT_USER FROM t TABLESAMPLE system (1)",
            ["current_date", "current_user", "tablesample"],
        ),
        ("SELECT 'now'::timestamptz, 'today' AS t", ["'now'", "'today'"]),
        ("SELECT 'it''s ''now''' -- 'today'", []),
        ("SELECT 'nowhere', current_dates, \"current_date\"", []),
    ],
)
def test_words_that_give_another_value_at_another_time(statement: str, words: list[str]) -> None:
    assert text.changing_words(statement) == words


@pytest.mark.parametrize(
    ("statement", "single"),
    [
        ("LIMIT 1", True),
        ("LIMIT 10", False),
        ("(a LIMIT 1) LIMIT 2", False),
        ("FETCH FIRST ROW ONLY", True),
        ("", True),
    ],
)
def test_limits(statement: str, single: bool) -> None:
    assert text.only_single_limits(statement) is single


def test_a_word_has_its_line() -> None:
    assert text.line_with("SELECT 'x',\n\n now() AS x", "x") == 3
    assert text.line_with("SELECT a", "b") is None
