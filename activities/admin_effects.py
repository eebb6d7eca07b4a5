"""The page of a disposition's effects: what it brings about besides being logged."""

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from activities.dispositions import plain as plain_name
from activities.models import DispositionEffect
from integrations.admin_base import TenantScopedAdmin
from integrations.admin_forms import TenantForm
from integrations.admin_html import ago_column


def effect_words(effect: DispositionEffect) -> list[str]:
    days = effect.follow_up_days
    return [
        *([_("Do not call")] if effect.do_not_call else []),
        *([_("Lead status: %(status)s") % {"status": effect.lead_status}] if effect.lead_status else []),
        *(
            [ngettext("Follow-up after %(days)d day", "Follow-up after %(days)d days", days) % {"days": days}]
            if days is not None
            else []
        ),
        *([_("Books the meeting")] if effect.books_meeting else []),
    ] or [_("Nothing")]


class EffectForm(TenantForm):
    identity = ("tenant", "disposition")

    class Meta:
        model = DispositionEffect
        fields = "__all__"
        help_texts = {
            "disposition": gettext_lazy("As the dialer writes it; capitals don't matter."),
            "books_meeting": gettext_lazy(
                "A meeting that comes with the call is booked in the CRM. Where a disposition has no row here it always is."
            ),
        }

    def clean_disposition(self) -> str:
        return " ".join(str(self.cleaned_data["disposition"]).split())

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        owner = data["tenant"].pk if data.get("tenant") else self.instance.tenant_id
        name = data.get("disposition", "")
        others = DispositionEffect.objects.filter(tenant=owner).exclude(pk=self.instance.pk) if owner and name else ()
        if any(plain_name(one.disposition) == plain_name(name) for one in others):
            self.add_error("disposition", _("This disposition has its effects already. Change those."))
        return data


class DispositionEffectAdmin(TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "No disposition brings anything about besides its call. “Dispositions” is where that is chosen."
    )
    form = EffectForm
    list_display = ("disposition", "brings", ago_column("updated_at", gettext_lazy("changed")))
    list_filter = ("do_not_call", "books_meeting")
    search_fields = ("disposition__istartswith",)
    search_help_text = gettext_lazy("Beginning of the disposition")
    ordering = ("tenant__name", "disposition", "pk")
    fields = ("disposition", "do_not_call", "lead_status", ("follow_up_days", "follow_up_title"), "books_meeting")

    @admin.display(description=gettext_lazy("what it brings about"))
    def brings(self, row: DispositionEffect) -> str:
        return ", ".join(effect_words(row))
