"""Which of many connections need somebody first: a rough look at each, so that only those are counted for that are shown.

It knows the signs of `sync.health.Card.verdict` that an index answers at once, and ranks by them; the verdict itself stays there.
"""

from datetime import timedelta
from typing import Any

from django.db.models import Case, Max, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Now
from django.db.models.lookups import LessThan

from integrations.models import CircuitBreaker, CrmConnection
from sync.looking_up import is_there
from sync.models import FeedCursor, SyncJob, SyncRecord

SILENT_AFTER = timedelta(minutes=30)
STOPPED, FAILING, DEAD, SILENT, IDLE, FAULTY, FINE = range(7)


def first(most: int) -> "QuerySet[Any]":
    """Ids of up to so many connections in the current scope, the most urgent ones. For use in another query."""
    ranked = CrmConnection.objects.annotate(rank=_rank()).order_by("rank", "tenant__name", "provider")
    return ranked.values("pk")[:most]


def _rank() -> Case:
    open_breaker = is_there(CircuitBreaker.objects.filter(connection=OuterRef("pk"), opened_at__isnull=False))
    dead = is_there(SyncJob.objects.filter(connection=OuterRef("pk"), state=SyncJob.State.DEAD))
    faulty = is_there(
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
        When(open_breaker, then=Value(FAILING)),
        When(dead, then=Value(DEAD)),
        When(_before(read), then=Value(SILENT)),
        When(faulty, then=Value(FAULTY)),
        default=Value(FINE),
    )


def _before(moment: Subquery) -> Q:
    return Q(LessThan(moment, Now() - SILENT_AFTER))
