"""Tells the apps above who must not be called any more, or may be again, in the transaction that stores it, whoever said so.

Whatever writes the history of known contacts passes it by here. A contact that is new is no news of that kind: programs meet it in
the feed as it is.
"""

from collections.abc import Iterable

from django.dispatch import Signal

from sync.merge import DO_NOT_CALL
from sync.models import FieldChange

do_not_call_changed = Signal()
"""Sent with `changes`: entries of the history about "do not call", each with another value than before."""


def tell(changes: Iterable[FieldChange]) -> None:
    found = [one for one in changes if one.field == DO_NOT_CALL and bool(one.old) != bool(one.new)]
    if found:
        do_not_call_changed.send(tell, changes=found)
