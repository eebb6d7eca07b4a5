"""Everything that is held of one person, as one JSON document: for them, and for whoever has to answer them."""

from typing import Any

from django.db.models import Model
from django.utils import timezone

from activities.person import PLACES, Person, Place

MOST_ROWS = 10_000
"""Of one table. Who has more than that is no person; the document says what it left out."""


def export(person: Person) -> dict[str, Any]:
    """In the tenant's scope. Values are as JSON has them once `json.dumps(…, default=str)` wrote them."""
    held = {place.title: [_row(place, one) for one in place.of(person).order_by("pk")[:MOST_ROWS]] for place in PLACES}
    return {
        "tenant": person.tenant.slug,
        "exported_at": timezone.now().isoformat(),
        "e_mail_addresses": sorted(person.emails),
        "phone_numbers": sorted(person.phones),
        "recordings": [one["recording_url"] for one in held["calls"] if one["recording_url"]],
        "crm_records": person.crm_records,
        "left_out": [title for title, rows in held.items() if len(rows) == MOST_ROWS],
        "held": held,
    }


def _row(place: Place, row: Model) -> dict[str, Any]:
    columns = [one for one in row._meta.concrete_fields if one.name not in (*place.hidden, "tenant")]
    return {one.attname: _value(getattr(row, one.attname)) for one in columns}


def _value(value: Any) -> Any:
    return bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else value
