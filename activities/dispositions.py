"""How a disposition is written in a CRM: the tenant's row if there is one, else the CRM's default."""

from collections.abc import Mapping
from typing import Any

from activities.models import DispositionMap
from integrations.models import CrmConnection
from integrations.providers.base import CrmProvider


class DispositionTable:
    """The maps of one tenant for one CRM. Names are compared without regard to case and surrounding space."""

    def __init__(self, defaults: Mapping[str, Mapping[str, Any]], rows: Mapping[str, Mapping[str, Any]]) -> None:
        self._values = {plain(name): dict(values) for table in (defaults, rows) for name, values in table.items()}

    def values_of(self, disposition: str) -> dict[str, Any]:
        """The CRM's own fields. A disposition that nobody mapped gives none: the CRM's text fields still carry the word."""
        return dict(self._values.get(plain(disposition), {}))


def add_defaults(connection: CrmConnection, provider: CrmProvider) -> None:
    """Gives a new connection the CRM's default rows; rows that the tenant has are left alone."""
    DispositionMap.objects.bulk_create(
        [
            DispositionMap(
                tenant_id=connection.tenant_id, crm_provider=connection.provider, disposition=name, values=dict(values)
            )
            for name, values in provider.default_dispositions.items()
        ],
        ignore_conflicts=True,
    )


def plain(name: str) -> str:
    """The form in which names of dispositions are compared."""
    return " ".join(name.split()).casefold()
