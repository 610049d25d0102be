"""The verdicts on warehouse and partner: by what an event got there, or why not."""

from datetime import datetime

from engagement_platform.domain.dead_letters import Letter
from engagement_platform.domain.delivery.record import Became, Delivery
from engagement_platform.domain.trace.facts import (
    AtPartner,
    Facts,
    InWarehouse,
    Letters,
    Loaded,
    Message,
    Rebuilt,
    Unread,
)
from engagement_platform.domain.trace.trace import Mark, Place, Said, Step, said
from engagement_platform.domain.trace.upstream import was_never_published


def in_warehouse(facts: Facts) -> Step:
    """Say by which load or rebuild the table has the event, or why it has not."""
    warehouse = facts.warehouse
    if isinstance(warehouse, Unread):
        return Step(Place.WAREHOUSE, Mark.UNKNOWN, said("unread", reason=warehouse.reason))
    notes = _notes(warehouse)
    if warehouse.has_row is True:
        at, how = _by_what(warehouse)
        return Step(Place.WAREHOUSE, Mark.THERE, how, at, notes)
    if (why := _not_yet(facts, warehouse)) is not None:
        return Step(Place.WAREHOUSE, Mark.WAITS, why, notes=notes)
    if isinstance(warehouse.has_row, Unread) and not was_never_published(facts):
        return Step(Place.WAREHOUSE, Mark.UNKNOWN, _noted(warehouse, warehouse.has_row), notes=notes)
    return Step(Place.WAREHOUSE, Mark.NOT_THERE, _why_not(facts, warehouse), notes=notes)


def _by_what(warehouse: InWarehouse) -> tuple[datetime | None, Said]:
    rebuilt, load = warehouse.rebuilt, warehouse.load
    if rebuilt is not None and rebuilt.covers:
        return rebuilt.closed_at, _of_rebuild("warehouse.rebuilt", rebuilt, warehouse)
    if load is not None and load.closed_at is not None:
        return load.closed_at, said("warehouse.loaded", at=load.closed_at, load_id=load.load_id)
    if load is not None:
        return None, _of_open(load)
    return None, said("warehouse.row")


def _of_rebuild(kind: str, rebuilt: Rebuilt, warehouse: InWarehouse, **more: object) -> Said:
    return said(kind, number=rebuilt.number, day=warehouse.day, at=rebuilt.closed_at or "an unknown time", **more)


def _of_open(load: Loaded) -> Said:
    return said("warehouse.open", load_id=load.load_id, opened_at=load.opened_at)


def _not_yet(facts: Facts, warehouse: InWarehouse) -> Said | None:
    message = facts.message
    if warehouse.load is not None and warehouse.load.closed_at is None:
        return _of_open(warehouse.load)
    if message is not None and (warehouse.next_offset is None or message.offset >= warehouse.next_offset):
        return said("warehouse.waits", messages=message.offset - (warehouse.next_offset or 0))
    if warehouse.is_being_rebuilt and warehouse.has_row is False:
        return said("warehouse.rebuilding", day=warehouse.day)
    return None


def _noted(warehouse: InWarehouse, unread: Unread) -> Said:
    """Say what the notes tell, where the table itself cannot be read."""
    rebuilt, load = warehouse.rebuilt, warehouse.load
    if rebuilt is not None and rebuilt.covers:
        return _of_rebuild("warehouse.noted_rebuild", rebuilt, warehouse, reason=unread.reason)
    if load is not None:
        return said("warehouse.noted", load_id=load.load_id, at=load.closed_at, reason=unread.reason)
    return said("unread", reason=unread.reason)


def _why_not(facts: Facts, warehouse: InWarehouse) -> Said:
    if letters := facts.letters_of("stage"):
        return said("warehouse.letter", reason=letters[-1].content.reason)
    if was_never_published(facts):
        return said("warehouse.not_published")
    if facts.row is None and not isinstance(facts.source, Unread):
        is_rebuilt = warehouse.rebuilt is not None and warehouse.rebuilt.covers
        return said("warehouse.not_in_source", day=warehouse.day) if is_rebuilt else said("warehouse.absent")
    was_brought = warehouse.load is not None or (warehouse.rebuilt is not None and warehouse.rebuilt.covers)
    return said("warehouse.missing", day=warehouse.day) if was_brought else said("warehouse.absent")


def _notes(warehouse: InWarehouse) -> tuple[Said, ...]:
    notes = [said("warehouse.file", file=file) for file in warehouse.files]
    rebuilt, load = warehouse.rebuilt, warehouse.load
    if rebuilt is not None and rebuilt.covers:
        notes.append(said("warehouse.run", run_id=rebuilt.run_id))
        if load is not None and load.closed_at is not None:
            is_before = rebuilt.closed_at is not None and load.closed_at <= rebuilt.closed_at
            kind = "warehouse.loaded_before" if is_before or not load.covered else "warehouse.left_out"
            notes.append(said(kind, load_id=load.load_id, at=load.closed_at, covered=load.covered))
    if warehouse.is_being_rebuilt and warehouse.has_row is not False:
        notes.append(said("warehouse.rebuilding", day=warehouse.day))
    return tuple(notes)


def at_partner(facts: Facts) -> Step:
    """Say whether the partner has the event, by which tries, or what became of it."""
    partner = facts.partner
    if isinstance(partner, Unread):
        return Step(Place.PARTNER, Mark.UNKNOWN, said("unread", reason=partner.reason), notes=_letters(facts))
    notes = (*map(_try, partner.tries), *_record(partner), *_letters(facts))
    mark, what, at = _outcome(facts, partner)
    return Step(Place.PARTNER, mark, what, at, notes)


def _outcome(facts: Facts, partner: AtPartner) -> tuple[Mark, Said, datetime | None]:
    delivered = [one for one in partner.tries if one.became is Became.DELIVERED]
    if delivered:
        first = delivered[0]
        return Mark.THERE, said("partner.delivered", at=first.begun_at, status=first.status), first.begun_at
    if letters := facts.letters_of("forward"):
        return Mark.NOT_THERE, _letter_of("partner.letter", letters[-1]), None
    if not partner.has_partner:
        return Mark.NOT_THERE, said("partner.none"), None
    return _without_message(facts) if facts.message is None else _by_offset(facts, facts.message, partner)


def _by_offset(facts: Facts, message: Message, partner: AtPartner) -> tuple[Mark, Said, None]:
    if not partner.same_topic:
        return Mark.UNKNOWN, said("partner.other_topic"), None
    if partner.next_offset is None or message.offset >= partner.next_offset:
        if partner.tries:
            last = partner.tries[-1]
            return Mark.WAITS, said("partner.tried", at=last.begun_at, reason=last.reason), None
        return Mark.WAITS, said("partner.waits", messages=message.offset - (partner.next_offset or 0)), None
    # What forward was told to skip is settled, too, and has neither a request nor a letter: only a request is evidence.
    has_no_letter = isinstance(facts.letters, Letters) and facts.letters.is_complete
    return Mark.UNKNOWN, said("partner.unrecorded" if has_no_letter else "partner.settled"), None


def _without_message(facts: Facts) -> tuple[Mark, Said, None]:
    if was_never_published(facts):
        return Mark.NOT_THERE, said("partner.not_published"), None
    return Mark.UNKNOWN, said("partner.not_found"), None


def _try(one: Delivery) -> Said:
    answer = one.reason if one.status is None else f"status {one.status}"
    return said(
        "partner.try",
        at=one.begun_at,
        answer=answer,
        seconds=f"{one.seconds:.2f}",
        became=one.became.value,
        tries=one.tries,
        events=len(one.ids),
    )


def _record(partner: AtPartner) -> tuple[Said, ...]:
    if partner.tries or not partner.has_partner:
        return ()
    if not partner.is_kept:
        return (said("partner.not_kept"),)
    return () if partner.kept_since is None else (said("partner.kept_since", since=partner.kept_since),)


def _letters(facts: Facts) -> tuple[Said, ...]:
    if isinstance(facts.letters, Unread):
        return (said("letters.unread", reason=facts.letters.reason),)
    notes = []
    for letter in facts.letters.letters:
        notes.append(_letter_of("letters.letter", letter))
        notes += [
            said(
                "letters.action",
                address=letter.address,
                action=action.kind,
                at=action.begun_at,
                who=action.who,
                outcome="; ".join(filter(None, (action.outcome or "not ended", action.note, action.why))),
            )
            for action in letter.actions
        ]
    if not facts.letters.is_complete:
        notes.append(said("letters.incomplete"))
    return tuple(notes)


def _letter_of(kind: str, letter: Letter) -> Said:
    content = letter.content
    return said(kind, address=letter.address, source=content.source, state=letter.state.value, reason=content.reason)
