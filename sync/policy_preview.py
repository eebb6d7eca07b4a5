"""What a conflict policy would have made of the conflicts of the last 30 days: counted, not touched.

The conflicts are grouped by field and CRM in one statement; a group's rule then says whose it would have been. Only what is
combined part by part has to be looked at one by one, and that is rare.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import CharField, Count, F, Func, Q, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from mapping.models import MappingVersion, Strategy
from mapping.policy import strategies
from sync.merge import DO_NOT_CALL, NOT_COMBINED, combine
from sync.models import Conflict

WITHIN = timedelta(days=30)
MOST = 5_000
"""The newest conflicts that are counted."""
LOOKED_AT = 1_000
"""Objects of a group that are tried to be combined; the others go to a person in the count."""
DIALER, CRM, BOTH, PERSON = OUTCOMES = ("dialer", "crm", "both", "person")


@dataclass(frozen=True, slots=True)
class Group:
    """Conflicts about one field with one CRM."""

    field: str
    provider: str
    count: int
    ours_later: int
    lists: int
    objects: int


@dataclass(slots=True)
class Preview:
    """Field → what would have become of its conflicts."""

    by_field: dict[str, Counter[str]]

    @property
    def total(self) -> Counter[str]:
        return sum(self.by_field.values(), Counter())

    @property
    def conflicts(self) -> int:
        return sum(self.total.values())


def preview(tenant_id: UUID, default: str, overrides: Mapping[str, str]) -> Preview:
    """Three queries at the most, with the rules of the mapping rows in force, which go before the policy's."""
    groups = groups_of(tenant_id)
    rows = rows_in_force(tenant_id)
    deciding = {slug: strategies(default, overrides, rows.get(slug, ())) for slug in {one.provider for one in groups}}
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for one in groups:
        found[one.field] += _outcome(tenant_id, one, deciding[one.provider](one.field))
    return Preview(dict(found))


def rows_in_force(tenant_id: UUID) -> dict[str, Sequence[Mapping[str, Any]]]:
    """CRM → the rows of its newest mapping version. One query."""
    newest = MappingVersion.objects.filter(tenant_id=tenant_id).order_by("crm_provider", "-number")
    return dict(newest.distinct("crm_provider").values_list("crm_provider", "rows"))


def groups_of(tenant_id: UUID) -> list[Group]:
    """The newest conflicts of the last 30 days. One query."""
    kinds = {"ours_kind": _kind("ours"), "theirs_kind": _kind("theirs")}
    rows = _lately(tenant_id).annotate(**kinds).order_by()
    told = rows.values_list("field", "record__crm_provider").annotate(
        count=Count("pk"),
        ours_later=Count("pk", filter=Q(ours_at__gt=F("theirs_at"))),
        lists=Count("pk", filter=Q(ours_kind="array", theirs_kind="array")),
        objects=Count("pk", filter=Q(ours_kind="object", theirs_kind="object")),
    )
    return [Group(*one) for one in told]


def _lately(tenant_id: UUID) -> Any:
    rows = Conflict.objects.filter(tenant_id=tenant_id, created_at__gte=timezone.now() - WITHIN)
    last = rows.order_by("-pk").values("pk")[MOST - 1 : MOST]
    return rows.filter(pk__gte=Coalesce(Subquery(last), 0))


def _kind(name: str) -> Func:
    return Func(F(name), function="jsonb_typeof", output_field=CharField())


def _outcome(tenant_id: UUID, group: Group, rule: str) -> Counter[str]:
    if group.field == DO_NOT_CALL:  # whoever says "don't" is believed
        return Counter({BOTH: group.count})
    if rule == Strategy.LAST_WRITE_WINS:
        return Counter({DIALER: group.ours_later, CRM: group.count - group.ours_later})
    if rule == Strategy.FIELD_LEVEL_MERGE:
        joined = group.lists + (_combined(tenant_id, group) if group.objects else 0)
        return Counter({BOTH: joined, PERSON: group.count - joined})
    whose = {Strategy.DIALER_WINS.value: DIALER, Strategy.MANUAL.value: PERSON}.get(rule, CRM)
    return Counter({whose: group.count})


def _combined(tenant_id: UUID, group: Group) -> int:
    """How many of the group's objects fit together."""
    rows = _lately(tenant_id).filter(field=group.field, record__crm_provider=group.provider)
    objects = rows.annotate(ours_kind=_kind("ours"), theirs_kind=_kind("theirs"))
    sides = objects.filter(ours_kind="object", theirs_kind="object").order_by("-pk")
    told = sides.values_list("base", "ours", "theirs")[:LOOKED_AT]
    return sum(combine(base, ours, theirs) is not NOT_COMBINED for base, ours, theirs in told)
