"""Chooses the columns of a new stream's message: all of the table, and some of those that it leads to.

What may name a person is offered only, and so is a secret; what a stream cannot do without is chosen all the same.
"""

import re
from collections.abc import Iterator, Set
from dataclasses import replace

from engagement_platform.domain.columns import Base, reserved_by_warehouse
from engagement_platform.domain.drafts.source import slug
from engagement_platform.domain.drafts.values import (
    ColumnFacts,
    ForeignKey,
    Join,
    Selected,
    SourceFacts,
    TableFacts,
    is_of,
)
from engagement_platform.domain.sql_names import RESERVED

MAX_JOINED = 6
MAX_VALUES = 200
"""So many different values a column may have that is counted by, where it is no reference to another table."""
_FEW_ROWS = 50

_PERSONAL = re.compile(
    r"mail|phone|mobile|address|street|birth|passw|secret|token|iban|ssn|card|first_?name|last_?name|surname|"
    r"full_?name|(^|_)ip($|_)|(user|customer|person|member|patient|employee|contact|subscriber|client|guest|recipient|"
    r"sender|display|nick)_?name"
)
_PERSON = "names a person, by its name"
_NUMBERS = (Base.INTEGER, Base.UUID)
_SECRET = re.compile(r"passw|secret|token|api_?key")
_PEOPLE = re.compile(r"user|customer|person|people|member|account|patient|employee|contact|subscriber|client|guest")
_NAMES = re.compile(r"^(name|title|slug|label|code|sku)$")
_KINDS = re.compile(
    r"(^|_)(kind|type|category|status|country|region|city|plan|segment|tier|channel|device|platform|source|medium|method|"
    r"currency|language|locale|state|severity|level|priority|role|browser|os|brand)$"
)
"""What events are counted by, as far as a name tells."""
_GENERIC_WORDS = "name title slug label code kind type status state description category id"
_GENERIC = frozenset(_GENERIC_WORDS.split())


def own(facts: SourceFacts, number: str, time: str, kept: Set[str]) -> Iterator[Selected]:
    """Yield the columns of the table as the message has them; `number` and `time` name the two of every stream.

    `kept` are those that the message has also where they may name a person.
    """
    table, taken = facts.table, {number.lower(), time.lower()}
    kept = {number, time, *kept, *_references(facts)}
    for column in table.columns:
        selected = _own(column, table, number, time)
        if not selected.is_offered and column.name not in kept and _names_a_person(column):
            selected = replace(selected, note=_PERSON, is_offered=True)
        while column.name not in (number, time) and selected.name.lower() in taken:
            selected = replace(selected, name=f"{selected.name}_", note=f"{column.name}: warehouses have one such name")
        taken.add(selected.name.lower())
        yield selected


def _references(facts: SourceFacts) -> set[str]:
    """Return the columns that lead to another table by a number, which is not what it stands for."""
    names = {name for key in facts.foreign_keys for name in key.columns}
    return {column.name for column in facts.table.columns if column.name in names and is_of(column, *_NUMBERS)}


def _names_a_person(column: ColumnFacts) -> bool:
    return bool(_PERSONAL.search(column.name.lower())) and not is_of(column, Base.BOOLEAN)


def _own(column: ColumnFacts, table: TableFacts, number: str, time: str) -> Selected:
    expression, name, note = f"event.{column.written}", column.name, ""
    if reserved_by_warehouse(column.name):
        name = f"{slug(column.name)}_" if reserved_by_warehouse(slug(column.name)) else slug(column.name)
        note = f"{column.name}: a name that warehouses do not take"
    if column.type is None:
        cast, _, hint = column.cast.partition(" (")
        expression = cast.format(expression)
        note = f"{column.type_name}, {column.why.split(', ', 1)[-1]}" + (f"; or {hint[3:].rstrip(')')}" if hint else "")
    meaning = column.comment or _meaning(column, table, number, time)
    hidden = (
        f"no right to read it: {table.grant}"
        if not column.readable
        else "a secret, by its name"
        if _SECRET.search(column.name.lower())
        else ""
    )
    return Selected(expression, name, meaning, column, hidden or note, is_offered=bool(hidden))


def _meaning(column: ColumnFacts, table: TableFacts, number: str, time: str) -> str:
    if column.name == number:
        return "Number of the event in the source; unique."
    if column.name == time:
        return "When it happened."
    return f"{_words(column.name)}, as {table.written} has it."


def _words(name: str) -> str:
    text = re.sub(r"[_\W]+", " ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)).strip().lower() or name
    return text[:1].upper() + text[1:]


def joins(facts: SourceFacts, taken: set[str]) -> Iterator[Join]:
    """Yield a join for each foreign key; `taken` are the names of the columns that the message has."""
    aliases = set[str]()
    for key in facts.foreign_keys:
        base = re.sub(r"_?(id|no|key|uuid)$", "", key.columns[0].lower()) if len(key.columns) == 1 else ""
        base = slug(base or key.target.name)
        alias = f"{base}_row" if base in RESERVED else base
        while alias in aliases:
            alias += "_"
        aliases.add(alias)
        refused = _refused(key)
        columns = () if refused else tuple(_of_target(key, alias, taken))
        if not refused and not any(not column.is_offered for column in columns):
            refused = "none of its columns is for everybody to see, as far as their names tell"
        yield Join(alias, key, columns, refused)


def _refused(key: ForeignKey) -> str:
    target = key.target
    keys = [target.column(name) for name in key.leads_to]
    if not target.readable or not all(column is not None and column.readable for column in keys):
        return f"no right to read it: {target.grant}"
    if target.filtered:
        return f"row level security hides rows of it from {target.role}"
    return ""


def _of_target(key: ForeignKey, alias: str, taken: set[str]) -> Iterator[Selected]:
    target, offered = key.target, 0
    is_people = bool(_PEOPLE.search(target.name.lower()))
    for column in target.columns:
        if column.name in key.leads_to or column.type is None or column.type.is_json or not column.readable:
            continue
        name = _joined_name(column.name, alias, taken)
        personal = _names_a_person(column) or (is_people and column.name.lower() in ("name", "login"))
        useful = bool(_NAMES.match(column.name.lower())) or is_counted(column, target.rows)
        is_offered = personal or not useful or offered >= MAX_JOINED
        offered += not is_offered
        taken.add(name.lower())
        note = _PERSON if personal else ""
        said = (column.comment or _words(column.name)).rstrip(".")
        meaning = f"{said}, as {target.written} had it when the row was written."
        yield Selected(f"{alias}.{column.written}", name, meaning, column, note, is_offered=is_offered)


def _joined_name(name: str, alias: str, taken: set[str]) -> str:
    plain = slug(name) if reserved_by_warehouse(name) else name
    if plain.lower() not in taken and plain.lower() not in _GENERIC and not reserved_by_warehouse(plain):
        return plain
    joined = f"{alias}_{plain}"
    while joined.lower() in taken:
        joined += "_"
    return joined


def is_counted(column: ColumnFacts, rows: int) -> bool:
    """Say whether events are counted by such a column: it has few values, or is made for few."""
    if not is_of(column, Base.TEXT, Base.CHAR, Base.BOOLEAN) or _PERSONAL.search(column.name.lower()):
        return False
    if column.is_enum or is_of(column, Base.BOOLEAN):
        return True
    values = column.values or 0
    if rows < _FEW_ROWS:
        return bool(_KINDS.search(column.name.lower())) or 0 < values <= rows // 2
    return 0 < values <= min(MAX_VALUES, rows // 5)
