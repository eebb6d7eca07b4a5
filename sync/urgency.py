"""Which of many connections need somebody first: a rough look at each, so that only those are counted for that are shown.

It knows the signs of `sync.health.Card.verdict` that an index answers at once, and ranks by them; the verdict itself stays there.
"""

from datetime import timedelta
from typing import Any

from django.db.models import Case, Max, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Now
from django.db.models.lookups import IsNull, LessThan

from integrations.models import CircuitBreaker, CrmConnection
from sync.models import FeedCursor, SyncJob, SyncRecord

SILENT_AFTER = timedelta(minutes=30)
STOPPED, FAILING, DEAD, SILENT, IDLE, FAULTY, FINE = range(7)


def first(most: int) -> "QuerySet[Any]":
    """Ids of up to so many connections in the current scope, the most urgent ones. For use in another query."""
    ranked = CrmConnection.objects.annotate(rank=_rank()).order_by("rank", "tenant__name", "provider")
    return ranked.values("pk")[:most]


def _rank() -> Case:
    # Each sign is one look-up. As EXISTS, all dead jobs and faulty links of all connections might be gathered instead.
    open_breaker = _any(CircuitBreaker.objects.filter(connection=OuterRef("pk"), opened_at__isnull=False))
    dead = _any(SyncJob.objects.filter(connection=OuterRef("pk"), state=SyncJob.State.DEAD))
    faulty = _any(
        SyncRecord.objects.filter(
            tenant=OuterRef("tenant_id"), connection=OuterRef("pk"), sync_status=SyncRecord.Status.ERROR
        )
    )
    feeds: Any = FeedCursor.objects.filter(connection=OuterRef("pk")).order_by().values("connection")
    read = Subquery(feeds.annotate(at=Max("complete_at")).values("at"))
    status = CrmConnection.Status
    return Case(
        When(status=status.NEEDS_RECONNECTING, then=Value(STOPPED)),
        When(~Q(status=status.CONNECTED), then=Value(IDLE)),
        When(_is_there(open_breaker), then=Value(FAILING)),
        When(_is_there(dead), then=Value(DEAD)),
        When(_before(read), then=Value(SILENT)),
        When(_is_there(faulty), then=Value(FAULTY)),
        default=Value(FINE),
    )


def _any(rows: "QuerySet[Any]") -> Subquery:
    return Subquery(rows.order_by().values("pk")[:1])


def _is_there(found: Subquery) -> Q:
    return Q(IsNull(found, rhs=False))


def _before(moment: Subquery) -> Q:
    return Q(LessThan(moment, Now() - SILENT_AFTER))
