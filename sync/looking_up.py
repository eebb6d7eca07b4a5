"""Whether a row has something, asked so that the database looks it up by an index."""

from typing import Any

from django.db.models import Q, QuerySet, Subquery
from django.db.models.lookups import IsNull


def is_there(rows: "QuerySet[Any]") -> Q:
    """True where one of `rows`, which refer to the outer query, exists.

    What `Exists` would say, but PostgreSQL can't turn it into a join. For EXISTS it may gather all rows there are of that kind
    (every dead job, every failure that ever was) to answer for the few outer rows that are wanted.
    """
    return Q(IsNull(Subquery(rows.order_by().values("pk")[:1]), rhs=False))
