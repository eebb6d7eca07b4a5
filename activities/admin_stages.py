"""What the dialer said of a call later: the panel on the call's page, and the list for support."""

from collections.abc import Sequence

from django.contrib import admin
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from activities.models import Call, CallStage
from integrations.admin_base import Panel, ReadOnlyAdmin, TenantScopedAdmin
from integrations.admin_html import NOTHING, ago, ago_column, page_link, page_url

NEWEST = 20


def stages_panel(call: Call) -> Panel:
    stages = list(CallStage.objects.filter(call=call).order_by("-pk")[:NEWEST])
    rows = [[ago(one.said_at), ago(one.received_at), _names(one.changed), _names(one.ignored)] for one in stages]
    headers = [_("Said"), _("Received"), _("Changed"), _("Older than what was held")]
    more = (page_url(CallStage, "changelist", q=call.pk), _("All stages")) if stages else None
    return Panel(_("Later stages"), headers, rows, _("The dialer has added nothing since the call was posted."), more)


def _names(fields: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in fields) or NOTHING


class CallStageAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "The dialer added nothing to a call after it was posted: no later disposition, notes or summary."
    )
    list_display = (
        ago_column("received_at", gettext_lazy("received")), "call_link", "changed_fields", "ignored_fields",
        ago_column("said_at", gettext_lazy("said")),
    )  # fmt: skip
    list_select_related = ("call",)
    exact_search = ("call",)
    search_help_text = gettext_lazy("Our id of the call")
    ordering = ("-pk",)
    fields = ("call_link", "changed_fields", "ignored_fields", "said_at", "received_at")

    @admin.display(description=gettext_lazy("call"))
    def call_link(self, row: CallStage) -> str:
        return page_link(row.call)

    @admin.display(description=gettext_lazy("changed"))
    def changed_fields(self, row: CallStage) -> str:
        return _names(row.changed)

    @admin.display(description=gettext_lazy("older than what was held"))
    def ignored_fields(self, row: CallStage) -> str:
        return _names(row.ignored)
