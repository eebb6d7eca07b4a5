"""Stores calls together that a tenant's dialer posts at the same moment, each in a request of its own.

Storing takes a fixed number of statements whatever the number of calls. So the calls that come while others are being stored wait
for them, and then one of their threads stores all of them. A call that comes alone waits for nobody.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any
from uuid import UUID

from activities import posting
from activities.posting import Posted
from integrations.models import Tenant


@dataclass(slots=True)
class _Slip:
    data: Mapping[str, Any]
    posted: Posted | None = None


class _Line:
    """The calls of one tenant that wait in this process."""

    def __init__(self) -> None:
        self.waiting: deque[_Slip] = deque()
        self.storing = Lock()


_lines: defaultdict[UUID, _Line] = defaultdict(_Line)


def store(tenant: Tenant, data: Mapping[str, Any]) -> Posted:
    """`posting.store` for one call, perhaps with others. Where they raise an error together, each is stored on its own."""
    line, slip = _lines[tenant.pk], _Slip(data)
    line.waiting.append(slip)
    with line.storing:
        if slip.posted is None:
            _store(tenant, [line.waiting.popleft() for _ in range(len(line.waiting))])
    if slip.posted is None:
        [slip.posted] = posting.store(tenant, [data])
    return slip.posted


def _store(tenant: Tenant, taken: Sequence[_Slip]) -> None:
    with suppress(Exception):  # whoever has the fault meets it again alone, and answers for it
        answers = posting.store(tenant, [one.data for one in taken])
        for one, posted in zip(taken, answers, strict=True):
            one.posted = posted
