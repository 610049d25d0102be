"""What `[marts]` of a stream.toml and the files beside it may say."""

from collections.abc import Mapping

import pytest

from engagement_platform.domain.errors import SettingsError
from engagement_platform.domain.marts import DAY, Mart, flaws_of_marts, marts_of
from engagement_platform.domain.stream_form import Mart as Form
from engagement_platform.domain.stream_form import MartColumn
from engagement_platform.domain.table import Kind


def form(**columns: str) -> Form:
    return Form("", {name: MartColumn(kind) for name, kind in columns.items()})


def test_columns_that_are_stated_come_behind_the_day() -> None:
    forms = {"sums": form(n="INT64", share="FLOAT64", exact="NUMERIC", wide="NUMERIC(30, 9)", day="DATE")}
    table = marts_of(forms, {"sums": "SELECT 1"})["sums"].stated
    assert table is not None
    assert table.columns[0] == DAY
    assert [column.name for column in table.columns] == ["day", "n", "share", "exact", "wide"]
    assert [column.kind for column in table.columns[1:3]] == [Kind.INT64, Kind.FLOAT64]
    assert [(column.precision, column.scale) for column in table.columns[3:]] == [(18, 2), (30, 9)]
    assert not table.is_of_stream


def test_columns_that_are_not_stated_are_those_that_the_query_gives() -> None:
    (mart,) = marts_of({}, {"sums": "SELECT 1"}).values()
    assert mart.stated is None
    given = {"n": "HUGEINT", "day": "DATE", "total": "DECIMAL(38,2)", "exact": "DECIMAL(18,12)", "name": "VARCHAR"}
    table = mart.table(given)
    assert [column.name for column in table.columns] == ["day", "n", "total", "exact", "name"]
    assert [column.kind for column in table.columns[1:]] == [Kind.INT64, Kind.NUMERIC, Kind.NUMERIC, Kind.STRING]
    assert [(column.precision, column.scale) for column in table.columns[2:4]] == [(31, 2), (18, 9)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": "BIGINT"}, "gives no column day of type DATE"),
        ({"day": "VARCHAR"}, "gives no column day of type DATE"),
        ({"day": "DATE", "all": "BIGINT[]"}, r"gives all as BIGINT\[\]"),
    ],
)
def test_what_no_table_can_have_is_said(given: Mapping[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Mart("sums", "", "", ()).table(given)


@pytest.mark.parametrize(
    ("queries", "order"),
    [
        ({"a": "SELECT 1 FROM b", "b": "SELECT 1 FROM events"}, ["b", "a"]),
        ({"a": "SELECT 1 FROM events JOIN `b` ON b.x = x", "b": "SELECT 1"}, ["b", "a"]),
        ({"a": "SELECT 1 FROM events AS e, b", "b": "SELECT a FROM events"}, ["b", "a"]),
        ({"a": "SELECT 1 from\n `project.dataset.b`", "b": "SELECT 1"}, ["b", "a"]),
        ({"a": "SELECT b FROM events WHERE b = 'FROM'", "b": "SELECT a FROM events"}, ["a", "b"]),
        ({"a": "SELECT 1 FROM a", "b": "SELECT 1"}, ["a", "b"]),
    ],
)
def test_a_mart_comes_behind_those_that_it_reads(queries: Mapping[str, str], order: list[str]) -> None:
    assert list(marts_of({}, queries)) == order


def test_marts_that_read_each_other_are_refused() -> None:
    with pytest.raises(SettingsError, match="the marts a, b read each other"):
        marts_of({}, {"a": "SELECT 1 FROM b", "b": "SELECT 1 FROM a"})


@pytest.mark.parametrize(
    ("forms", "said"),
    [
        ({"sums": form(n="INT64")}, "marts.sums: there is no file marts/sums.sql"),
        ({"day": form(n="int")}, "marts.day.columns.n: its type 'int' is none of INT64, FLOAT64, STRING"),
        ({"day": Form("", {}, ("n",))}, "marts.day.clustered_by: n is none of its columns"),
    ],
)
def test_what_is_wrong_is_named(forms: Mapping[str, Form], said: str) -> None:
    (flaw,) = flaws_of_marts(forms, ["day"])
    assert str(flaw).startswith(said)


def test_the_code_version_changes_with_the_formula_alone() -> None:
    texts = ("SELECT 1", "SELECT\n  1 # one", "SELECT 2", "SELECT ' '", "SELECT '  '")
    versions = [marts_of({}, {"a": text})["a"].code_version for text in texts]
    assert versions[0] == versions[1]
    assert len(set(versions)) == 4
