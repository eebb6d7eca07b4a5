"""What the conflict desk shows of a person's calls."""

from django.utils.translation import gettext as _

from activities.models import Call
from integrations.admin_base import Panel
from integrations.admin_html import ago, page_link, page_url
from sync.models import Contact

LAST = 3


def last_calls(contact: Contact) -> Panel:
    calls = Call.objects.filter(contact=contact).order_by("-started_at")[:LAST]
    rows = [
        [page_link(one, one.disposition or _("(no disposition)")), ago(one.started_at), one.agent_email]
        for one in calls
    ]
    more = (page_url(contact), _("Everything about this contact"))
    return Panel(
        _("Last calls"), [_("Call"), _("When"), _("Agent")], rows, _("Nobody has called this contact yet."), more
    )
