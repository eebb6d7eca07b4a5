"""Silencing a cause: for a while, or until more of it fails. It comes back by itself, and anybody who may silence it may end that.

A cause is silenced for each tenant of the current scope. It lies apart on the page of causes, and alerts leave it out; what failed
stays as it is, and counts wherever failures are counted.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sync.causes.counting import alive, silent
from sync.models import FailureAction, FailureCause

HOUR, DAY, WEEK, GROWS = "hour", "day", "week", "grows"
SPANS: Mapping[str, timedelta] = {HOUR: timedelta(hours=1), DAY: timedelta(days=1), WEEK: timedelta(weeks=1)}
CHOICES: Sequence[tuple[str, Any]] = (
    (HOUR, _("for an hour")),
    (DAY, _("for a day")),
    (WEEK, _("for a week")),
    (GROWS, _("until more of it fails")),
)
What = FailureAction.What


def snooze(fingerprint: str, how: str, by: str, about: str = "") -> list[FailureCause]:
    """Silences what needs help of the cause in the current scope; `how` is one of CHOICES. Returns the rows."""
    now = timezone.now()
    with transaction.atomic():
        rows = _locked(FailureCause.objects.filter(alive(), fingerprint=fingerprint))
        for row in rows:
            row.snoozed_until = now + SPANS[how] if how in SPANS else None
            row.snoozed_above = row.total if how == GROWS else None
            row.snoozed_by = by
        _kept(rows, What.SNOOZE, by, about, str(dict(CHOICES)[how]))
    return rows


def wake(fingerprint: str, by: str, about: str = "") -> list[FailureCause]:
    """Ends that in the current scope. Returns the rows that were silenced."""
    with transaction.atomic():
        rows = _locked(FailureCause.objects.filter(silent(), fingerprint=fingerprint))
        for row in rows:
            row.snoozed_until, row.snoozed_above, row.snoozed_by = None, None, ""
        _kept(rows, What.WAKE, by, about)
    return rows


def _locked(rows: "QuerySet[FailureCause]") -> list[FailureCause]:
    """In the order in which whoever notes a failure locks them."""
    return list(rows.select_for_update(of=("self",)).order_by("tenant_id", "fingerprint"))


def _kept(rows: Sequence[FailureCause], what: str, by: str, about: str, reason: str = "") -> None:
    now = timezone.now()
    FailureCause.objects.bulk_update(rows, ["snoozed_until", "snoozed_above", "snoozed_by"])
    FailureAction.objects.bulk_create(
        FailureAction(
            tenant_id=row.tenant_id, fingerprint=row.fingerprint, what=what, about=about, reason=reason, by=by,
            asked_at=now, finished_at=now,
        )
        for row in rows
    )  # fmt: skip
