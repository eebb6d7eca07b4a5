"""Joins small pages of a feed, so that one transaction and one round of statements serve several of them.

A joined page has the cursor of its last part, which moves in the same transaction. The first page goes on alone, so that progress
shows at once. A record that comes twice keeps its order: its second page is not joined to the first. What was read stands also when
the CRM ends the reading with an error.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from integrations.errors import CrmError
from integrations.records.remote import ChangePage

ENOUGH = 500
"""Records that are worth a transaction of their own."""
SECONDS = 1.0
"""Once a page has waited so long for others, it goes on."""


def joined(pages: Iterable[ChangePage]) -> Iterator[ChangePage]:
    held, since, enough = None, 0.0, 0
    try:
        for page in pages:
            if held is not None and not _fit(held, page):
                yield held
                held = None
            held, since = (_joined(held, page), since) if held else (page, time.monotonic())
            if len(held.records) >= enough or time.monotonic() - since >= SECONDS:
                yield held
                held, enough = None, ENOUGH
    except CrmError:
        if held is not None:
            yield held
        raise
    if held is not None:
        yield held


def _fit(one: ChangePage, other: ChangePage) -> bool:
    return {record.id for record in one.records}.isdisjoint(record.id for record in other.records)


def _joined(one: ChangePage, other: ChangePage) -> ChangePage:
    return replace(other, records=[*one.records, *other.records])
