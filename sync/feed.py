"""The change feed of a tenant's contacts: nothing skipped, nothing twice within a pass.

Contacts are ordered by the transaction that changed them last. A pass reads up to the oldest transaction that was still
running when it began: everything below is settled, so no row can slip in behind the reader; a contact changed during the pass
moves beyond its end and comes in the next one.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db.models import Exists, OuterRef, Q, QuerySet

from sync.models import Contact, SyncRecord

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)


class BadCursor(ValueError):
    """The cursor was not made by this feed."""


@dataclass(frozen=True, slots=True)
class Position:
    """The last contact that was read. `bound`: the end of the pass under way, None between passes."""

    xid: int = 0
    id: UUID = FIRST_ID
    bound: int | None = None

    def encode(self) -> str:
        text = json.dumps([self.xid, self.id.hex, self.bound], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Position":
        try:
            xid, key, bound = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return cls(_natural(xid), UUID(key), None if bound is None else _natural(bound))
        except (ValueError, TypeError, AttributeError) as error:
            raise BadCursor("This cursor is not one of ours. Leave it out to start from the beginning.") from error


def _natural(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError(value)
    return value


@dataclass(frozen=True, slots=True)
class FeedPage:
    contacts: Sequence[Contact]
    position: Position
    has_more: bool


def read(position: Position, limit: int, *, provider: str | None = None, do_not_call: bool | None = None) -> FeedPage:
    """The next contacts of the current tenant after the position."""
    bound = position.bound if position.bound is not None else _oldest_running()
    rows: QuerySet[Contact] = Contact.objects.filter(change_xid__gte=position.xid, change_xid__lt=bound).filter(
        Q(change_xid__gt=position.xid) | Q(pk__gt=position.id)
    )
    if do_not_call is not None:
        rows = rows.filter(do_not_call=do_not_call)
    if provider:
        rows = rows.filter(
            Exists(
                SyncRecord.objects.filter(local_record_id=OuterRef("pk"), local_table="contacts", crm_provider=provider)
            )
        )
    found = list(rows.order_by("change_xid", "pk")[: limit + 1])
    page, has_more = found[:limit], len(found) > limit
    if has_more:
        return FeedPage(page, Position(page[-1].change_xid, page[-1].pk, bound), has_more=True)
    return FeedPage(page, Position(max(bound - 1, 0), LAST_ID), has_more=False)


def _oldest_running() -> int:
    """The oldest transaction that may still write contacts; those of other databases on the server, and vacuum's, can't."""
    with database.cursor() as cursor:
        cursor.execute("SELECT dialbridge_oldest_running() + dialbridge_feed_offset()")
        return int(cursor.fetchone()[0])
