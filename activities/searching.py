"""What the search of records finds among the calls."""

from uuid import UUID

from django.utils.translation import gettext as _

from activities.models import Call
from sync.records_search import MOST, Hit, anywhere, as_uuid, linked


def find_calls(term: str) -> list[Hit]:
    """For the search of records: the dialer's id, ours, or that of the activity in a CRM."""
    found: dict[UUID, Hit] = {}
    rows = anywhere(Call.objects.select_related("tenant", "contact"))
    own = as_uuid(term)
    if own:
        found |= {row.pk: Hit(row, _("our id"), exact=True) for row in rows.filter(pk=own)}
    if not any(char.isspace() for char in term):
        for row in rows.filter(external_id=term)[:MOST]:
            found.setdefault(row.pk, Hit(row, _("the dialer's id"), exact=True))
    links = linked(term, Call._meta.db_table)
    for row in rows.filter(pk__in=list(links)) if links else ():
        found.setdefault(row.pk, Hit(row, f"{links[row.pk].get_crm_provider_display()} {term}", exact=True))
    return list(found.values())
