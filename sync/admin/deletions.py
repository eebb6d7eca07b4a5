"""The part of a connection's page that shows what a deletion in the CRM does to our contacts, and the form that sets it."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_base import AdminPage, Panel, page_action
from integrations.admin_connections import CHANGE
from integrations.admin_forms import Select
from integrations.admin_html import page_url
from integrations.models import CrmConnection
from integrations.registry import provider_class
from sync import departed

CHOICES = (
    (departed.MARK, gettext_lazy("Keep the contact and mark its link")),
    (departed.UNLINK, gettext_lazy("Keep the contact without its link")),
    (departed.DELETE, gettext_lazy("Delete the contact here too")),
)
MEANING = {
    departed.MARK: gettext_lazy(
        "The contact stays with its calls and still leads to the record that was deleted. Nothing more is written to that record."
    ),
    departed.UNLINK: gettext_lazy(
        "The contact stays with its calls, as somebody who is not in this CRM. Calls with them are logged in your other CRMs only."
    ),
    departed.DELETE: gettext_lazy(
        "The contact is deleted here in the same moment, unless another record still stands for it; dialers learn of it."
    ),
}


class OnDeleteForm(forms.Form):
    """One choice for each kind of person that the CRM knows."""

    def __init__(self, row: CrmConnection, data: Any = None) -> None:
        super().__init__(data)
        for kind in provider_class(row.provider).person_types:
            self.fields[kind] = forms.ChoiceField(
                label=_("When somebody deletes a record of kind %(kind)s") % {"kind": kind},
                choices=CHOICES,
                initial=departed.policy(row, kind),
                widget=Select(),
            )


def explanation() -> list[str]:
    """What each choice does."""
    lines = [f"{words}: {MEANING[name]}" for name, words in CHOICES]
    return [
        *lines,
        _("Whatever is chosen, all of it is taken back when the record is restored in the CRM."),
        _(
            "It holds for deletions from now on. A record that is merely hidden from us is never taken for deleted; one that was "
            "erased for privacy is always forgotten here."
        ),
    ]


def panel(row: CrmConnection, may_change: bool) -> Panel:
    chosen = dict(CHOICES)
    kinds = provider_class(row.provider).person_types
    rows = [[kind, chosen[departed.policy(row, kind)], MEANING[departed.policy(row, kind)]] for kind in kinds]
    more = (page_url(row, "deletions"), _("Change what deletions do")) if may_change else None
    return Panel(_("When the CRM deletes a record"), [_("Record"), _("Here"), _("That means")], rows, "", more)


class DeletionPages(AdminPage):
    """Mixed into the connection's page."""

    @page_action(gettext_lazy("Deletions"), icon="delete_sweep", permission=CHANGE)
    def deletions(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row: CrmConnection = self.found(request, object_id)
        form = OnDeleteForm(row, request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._deletions_page(request, row, form)
        before = {kind: departed.policy(row, kind) for kind in form.cleaned_data}
        departed.set_policies(row, form.cleaned_data)
        self.log_change(request, row, f"Deletions: {before} → {form.cleaned_data}")
        return self.answer(request, row, _("Saved. It holds for deletions from now on."))

    def _deletions_page(self, request: HttpRequest, row: CrmConnection, form: OnDeleteForm) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("What deletions in %(crm)s do here") % {"crm": row.get_provider_display()},
            "lines": explanation(),
            "form": form,
            "button": _("Save"),
            "opts": self.opts,
            "original": row,
            "back": page_url(row),
        }
        return TemplateResponse(request, "admin/ask_value.html", context)
