"""Decides field by field what a page's records and our contacts hold afterwards."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import cast

from mapping.models import Strategy
from sync import blanks, do_not_call, loops, values
from sync.merge import is_blank, merge, taken
from sync.models import Contact
from sync.page import Source, Work
from sync.times import FieldTimes


def look_around(source: Source, works: Sequence[Work]) -> None:
    """What deciding needs to know of the page as a whole: which fields are quarantined, and when a field was changed."""
    known = [work for work in works if work.contact is not None]
    quarantined = loops.quarantined(work.link.pk for work in known if work.link)
    times = FieldTimes(
        source.connection,
        source.object_type,
        [work.record.id for work in known],
        [work.contact.pk for work in known if work.contact and not work.is_new],
    )
    for work in known:
        if work.is_first:
            continue  # nothing of them can be in conflict
        work.quarantined = quarantined.get(work.link.pk, set()) if work.link else set()
        work.ours_at = partial(times.ours, cast("Contact", work.contact), work.link)
        work.theirs_at = partial(times.theirs, work.record)


def decide(source: Source, work: Work, now: datetime) -> None:
    """Merges the record into its contact, which the caller saves."""
    contact = work.contact
    if contact is None or not work.newer:
        return
    if work.is_first and not source.session.mapping.blank_rules:
        work.taken = taken(work.theirs)
        changes = {name: value for name, value in work.taken.items() if not is_blank(value)}
    else:
        _compare(source, work, contact)
        changes = {one.field: one.value for one in work.decisions if one.changed}
    if changes and not work.is_new:
        contact.version += 1
    if changes or work.is_new:
        values.write(contact, changes)
        contact.updated_at = now


def _compare(source: Source, work: Work, contact: Contact) -> None:
    base = work.link.base if work.link else {}
    sides = blanks.inbound(source.session.mapping.blank_rules, base, values.read(contact, work.theirs), work.theirs)
    merged = merge(
        base,
        sides.ours,
        sides.theirs,
        strategy=partial(_strategy, source, work),
        ours_at=work.ours_at,
        theirs_at=work.theirs_at,
    )
    said = do_not_call.said_at(work.link.metadata) if work.link else None
    work.decisions = [do_not_call.keep(one, said, work.record.modified_at) for one in sides.as_held(merged)]
    work.decisions += sides.decided


def _strategy(source: Source, work: Work, name: str) -> str:
    """What the CRM makes of a quarantined field is taken over: else both sides would go on in turn."""
    return Strategy.CRM_WINS.value if name in work.quarantined else source.strategy(name)
