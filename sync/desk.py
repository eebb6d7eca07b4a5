"""The queue of the conflict desk: one tenant's open conflicts, the oldest first, one at a time.

It is walked by the conflicts' numbers, which an index has in order, and grouped no further than its longest length: so it opens
quickly also with ten thousand.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, Min, Q, QuerySet

from integrations.registry import provider_label
from sync.models import Conflict

MOST = 10_000
"""Conflicts that are counted; of more it is only said that there are more."""
_WORDS = re.compile(r"\w+|\W")


@dataclass(frozen=True, slots=True)
class Heap:
    """Open conflicts about one field with one connection."""

    field: str
    connection_id: UUID
    provider: str
    count: int

    @property
    def crm(self) -> str:
        return provider_label(self.provider)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the queue one conflict stands."""

    number: int
    previous: int | None
    following: int | None


@dataclass(frozen=True, slots=True)
class Queue:
    """What is looked at: all of a tenant, or one field, or one connection."""

    tenant_id: UUID
    field: str = ""
    connection_id: UUID | None = None

    def rows(self) -> "QuerySet[Conflict]":
        found = _open_of(self.tenant_id)
        if self.field:
            found = found.filter(field=self.field)
        return found.filter(record__connection_id=self.connection_id) if self.connection_id else found

    def find(self, *, at: int | None = None, after: int | None = None) -> Conflict | None:
        """The conflict with the number `at` if it is open still, else the first after it, else the first of all."""
        rows = self.rows().select_related("contact", "record__connection", "tenant").order_by("pk")
        rows = rows.defer(
            "record__connection__access_token", "record__connection__refresh_token", "record__connection__secrets"
        )
        if at is not None:
            return rows.filter(pk__gte=at).first() or rows.first()
        return (rows.filter(pk__gt=after).first() if after is not None else None) or rows.first()

    def place(self, row: Conflict) -> Place:
        """One query."""
        before, behind = Q(pk__lt=row.pk), Q(pk__gt=row.pk)
        found = self.rows().aggregate(
            number=Count("pk", filter=before), previous=Max("pk", filter=before), following=Min("pk", filter=behind)
        )
        return Place(found["number"] + 1, found["previous"], found["following"])

    def has(self, heap: Heap) -> bool:
        return (not self.field or heap.field == self.field) and self.connection_id in (None, heap.connection_id)


def heaps(tenant_id: UUID) -> list[Heap]:
    """What waits, by field and connection, most first. One query over the oldest of them."""
    counted = Conflict.objects.filter(pk__in=_open_of(tenant_id).order_by("pk").values("pk")[:MOST])
    groups = counted.values_list("field", "record__connection_id", "record__crm_provider").annotate(Count("pk"))
    found = [Heap(*group) for group in groups.order_by() if group[1]]
    return sorted(found, key=lambda one: (-one.count, one.field, one.provider))


def by_tenant() -> list[tuple[UUID, str, int]]:
    """Tenants with open conflicts, those with most first: id, name, how many."""
    rows = Conflict.objects.filter(status=Conflict.Status.OPEN).order_by()
    found = rows.values_list("tenant_id", "tenant__name").annotate(Count("pk"))
    return sorted(found, key=lambda one: (-one[2], one[1]))


def _open_of(tenant_id: UUID) -> "QuerySet[Conflict]":
    found: QuerySet[Conflict] = Conflict.objects.filter(tenant_id=tenant_id, status=Conflict.Status.OPEN)
    return found


# --- what differs ---------------------------------------------------------------------------------------------------

Parts = Sequence[tuple[str, bool]]
"""A text in pieces: (piece, whether the other text has it not)."""


def difference(one: str, other: str) -> tuple[Parts, Parts]:
    """Both texts in pieces. Words are compared as wholes, a single word by its letters."""
    first, second = _pieces(one, other)
    ours: list[tuple[str, bool]] = []
    theirs: list[tuple[str, bool]] = []
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        ours.append(("".join(first[start:end]), tag != "equal"))
        theirs.append(("".join(second[other_start:other_end]), tag != "equal"))
    return [part for part in ours if part[0]], [part for part in theirs if part[0]]


def _pieces(one: str, other: str) -> tuple[Sequence[str], Sequence[str]]:
    found = _WORDS.findall(one), _WORDS.findall(other)
    if max(len(found[0]), len(found[1])) > 1:
        return found
    return _ends_apart(one, other), _ends_apart(other, one)


def _ends_apart(text: str, other: str) -> list[str]:
    """What both begin with, the middle, what both end with."""
    shortest = min(len(text), len(other))
    begin = next((at for at in range(shortest) if text[at] != other[at]), shortest)
    rest = shortest - begin
    end = next((at for at in range(rest) if text[-1 - at] != other[-1 - at]), rest)
    return [part for part in (text[:begin], text[begin : len(text) - end], text[len(text) - end :]) if part]


def as_number(text: Any) -> int | None:
    """A conflict's number from an address; None for anything else."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 19 else None
