"""Stores calls together that a tenant's dialer posts at the same moment, each in a request of its own."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from activities import posting
from activities.posting import Posted
from integrations.lining_up import Line
from integrations.models import Tenant

_Item = tuple[Tenant, Mapping[str, Any]]


def _store(items: Sequence[_Item]) -> list[Posted]:
    return posting.store(items[0][0], [data for _tenant, data in items])


_lines: defaultdict[UUID, Line[_Item, Posted]] = defaultdict(lambda: Line(_store))


def store(tenant: Tenant, data: Mapping[str, Any]) -> Posted:
    """`posting.store` for one call, perhaps with others."""
    return _lines[tenant.pk].do((tenant, data))
