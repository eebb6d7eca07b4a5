"""The editor of a tenant's conflict policy: a rule for everything, exceptions by field, and what both would have decided lately."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE as CHANGED
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations.admin_base import Panel, only_tenant_id, sees_several
from integrations.admin_html import ago, badge, bullets, link, page_link, page_url
from integrations.admin_tenant_pages import OfOneTenant, scripts
from integrations.models import CrmConnection, Tenant
from integrations.registry import provider_label
from mapping.admin_policy import (
    EXPLAINED,
    RULE,
    ConflictPolicyAdmin,
    PolicyForm,
    policy_of,
    save,
)
from mapping.admin_rehearsing import MAY_REHEARSE
from mapping.fields import field_name
from mapping.models import Blank, ConflictPolicy, FieldMapping, Strategy
from mapping.publishing import ENTITY
from sync import policy_preview
from sync.admin.stories import person_name
from sync.models import ConflictDecision, Rehearsal

VIEW, CHANGE = "mapping.view_conflictpolicy", "mapping.change_conflictpolicy"
LATEST = 10
CHANGED_MEANWHILE = gettext_lazy(
    "Somebody else changed the policy meanwhile. Nothing was saved: look at it again, then repeat your change."
)
OUTCOMES = {
    policy_preview.DIALER: ("good", gettext_lazy("for the dialer")),
    policy_preview.CRM: ("info", gettext_lazy("for the CRM")),
    policy_preview.BOTH: ("muted", gettext_lazy("joined")),
    policy_preview.PERSON: ("warning", gettext_lazy("to a person")),
}


class PolicyPages(OfOneTenant, ConflictPolicyAdmin):
    """Adding and changing a policy are the same page: every tenant has one, stored or not."""

    nothing_yet = gettext_lazy("The usual policy holds, in which the CRM wins, until somebody saves another.")

    def get_urls(self) -> list[URLPattern]:
        return [self.tenant_page("editor", self.editor_page, VIEW), *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        owner = only_tenant_id()
        if owner is None:
            return self.which_tenant(request, "editor")
        return self.editor_page(request, Tenant.objects.get(pk=owner))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        return self.editor_page(request, self.found(request, object_id).tenant)

    def which_tenant(self, request: HttpRequest, address: str) -> HttpResponse:
        there = page_url(ConflictPolicy, "editor")
        links = [(f"{there}?tenant={one.pk}", one.name) for one in Tenant.objects.order_by("name")[:200]]
        return self.shown(request, "admin/tenant_page.html", _("Of which tenant?"), links=links, panels=())

    def editor_page(self, request: HttpRequest, tenant: Tenant) -> HttpResponse:
        if request.method != "POST":
            return self._editor(request, tenant, PolicyForm(policy_of(tenant.pk)))
        if not request.user.has_perm(CHANGE):
            raise PermissionDenied
        form = PolicyForm(policy_of(tenant.pk), request.POST)
        what = request.POST.get("do", "save")
        if not form.is_valid() or what == "preview":
            return self._editor(request, tenant, form)
        if what == "rehearse":
            return self._rehearse(request, tenant, form)
        return self._save(request, tenant, form)

    def _save(self, request: HttpRequest, tenant: Tenant, form: PolicyForm) -> HttpResponse:
        changes = save(form)
        if changes is None:
            form.add_error(None, CHANGED_MEANWHILE)
            return self._editor(request, tenant, form)
        if changes:
            self.log_change(request, form.policy, " ".join(changes))
            self.message_user(request, _("Saved. It decides from the next record on."), messages.SUCCESS)
        else:
            self.message_user(request, _("Nothing was changed."), messages.INFO)
        return redirect(_address(tenant))

    def _rehearse(self, request: HttpRequest, tenant: Tenant, form: PolicyForm) -> HttpResponse:
        """A rehearsal with the policy as it stands in the form; nothing of it is in force."""
        if not request.user.has_perm(MAY_REHEARSE):
            raise PermissionDenied
        rows = policy_preview.rows_in_force(tenant.pk)
        connections = CrmConnection.objects.filter(tenant=tenant, provider__in=rows).order_by("status", "provider")
        connection = connections.defer("access_token", "refresh_token", "secrets").first()
        if connection is None:
            form.add_error(
                None, _("No connected CRM has a mapping yet, so there is nothing to try it on. Connect a CRM first.")
            )
            return self._editor(request, tenant, form)
        draft = Rehearsal.objects.create(
            tenant=tenant,
            connection=connection,
            rows=rows[connection.provider],
            policy={"default": form.cleaned_data["default"], "overrides": form.overrides},
            created_by=person_name(request),
        )
        self.message_user(request, _("This is a draft with your policy. Nothing of it is in force; rehearse it now."))
        return redirect(page_url(draft))

    # --- showing --------------------------------------------------------------------------------------------------

    def _editor(self, request: HttpRequest, tenant: Tenant, form: PolicyForm) -> HttpResponse:
        default, overrides = _chosen(form)
        counted = policy_preview.preview(tenant.pk, default, overrides)
        rows = list(FieldMapping.objects.filter(tenant=tenant, dialer_entity=ENTITY, is_active=True))
        return self.shown(
            request,
            "admin/policy.html",
            _("Conflict policy"),
            form=form,
            may_change=request.user.has_perm(CHANGE),
            may_rehearse=request.user.has_perm(MAY_REHEARSE),
            strategies=_explained(default),
            rows=_rules(form, rows, counted),
            totals=[(*OUTCOMES[name], f"{counted.total[name]:,}") for name in policy_preview.OUTCOMES],
            conflicts=counted.conflicts,
            counted_words=_counted_words(counted.conflicts),
            blanks=_blanks(rows),
            panels=[_history(form.policy, tenant)],
            list_url=page_url(ConflictPolicy, "changelist") if sees_several() else "",
            page_scripts=scripts("editing"),
        )


def _address(tenant: Tenant) -> str:
    return page_url(ConflictPolicy, "editor", **({"tenant": tenant.pk} if sees_several() else {}))


def _chosen(form: PolicyForm) -> tuple[str, Mapping[str, str]]:
    """As the form has it, or the policy where the form is wrong."""
    if not form.is_bound:
        return form.policy.default, form.policy.overrides
    return form.cleaned_data.get("default") or form.policy.default, form.overrides


def _explained(default: str) -> list[dict[str, Any]]:
    return [
        {
            "value": value,
            "label": label,
            "text": EXPLAINED[value][0],
            "example": EXPLAINED[value][1],
            "checked": value == default,
        }
        for value, label in Strategy.choices
    ]


def _rules(form: PolicyForm, rows: Sequence[FieldMapping], counted: policy_preview.Preview) -> list[dict[str, Any]]:
    """One for each field: its rule, which mapping rows go before it, and what it would have decided."""
    own: dict[str, list[FieldMapping]] = {}
    for row in rows:
        if row.strategy:
            own.setdefault(row.dialer_field, []).append(row)
    return [
        {
            "field": form[f"{RULE}{name}"],
            "label": field_name(name),
            "key": name,
            "rows": bullets(_goes_before(row) for row in own.get(name, ())) if name in own else "",
            "counts": _counts(counted.by_field.get(name, Counter())),
        }
        for name in form.names
    ]


def _goes_before(row: FieldMapping) -> object:
    words = _("%(crm)s: %(rule)s") % {"crm": provider_label(row.crm_provider), "rule": row.get_strategy_display()}
    return page_link(row, words)


def _counts(counts: Counter[str]) -> str:
    told = [f"{counts[name]:,} {OUTCOMES[name][1]}" for name in policy_preview.OUTCOMES if counts[name]]
    return ", ".join(told)


def _counted_words(conflicts: int) -> str:
    if not conflicts:
        return _("There was no conflict in the last 30 days, so there is nothing to count yet.")
    if conflicts >= policy_preview.MOST:
        text = _("With the newest %(count)s conflicts of the last 30 days this policy would have decided:")
        return text % {"count": f"{conflicts:,}"}
    text = ngettext(
        "With the %(count)s conflict of the last 30 days this policy would have decided:",
        "With the %(count)s conflicts of the last 30 days this policy would have decided:",
        conflicts,
    )
    return text % {"count": f"{conflicts:,}"}


def _blanks(rows: Sequence[FieldMapping]) -> list[object]:
    """Rows in which an empty value does something else than to clear the other side."""
    return [
        format_html(
            "{}: {}",
            page_link(row, f"{field_name(row.dialer_field)}, {provider_label(row.crm_provider)}"),
            row.get_on_blank_display(),
        )
        for row in rows
        if row.on_blank != Blank.CLEAR
    ]


def _history(policy: ConflictPolicy, tenant: Tenant) -> Panel:
    """By the form, and by deciding all conflicts alike."""
    entries = LogEntry.objects.filter(
        content_type=get_content_type_for_model(ConflictPolicy), object_id=str(policy.pk), action_flag=CHANGED
    )
    edits = [
        (one.action_time, one.user.get_username(), one.get_change_message())
        for one in entries.select_related("user")[:LATEST]
    ]
    made = ConflictDecision.objects.filter(tenant=tenant, rule_in=ConflictDecision.RuleIn.POLICY)[:LATEST]
    rules = [(one.made_at, one.made_by, _made_words(one)) for one in made]
    newest = sorted([*edits, *rules], key=lambda one: one[0], reverse=True)[:LATEST]
    rows = [[ago(at), who, words] for at, who, words in newest]
    return Panel(_("History"), [_("When"), _("Who"), _("What")], rows, _("Nobody has changed the policy yet."))


def _made_words(one: ConflictDecision) -> object:
    text = _("%(field)s: %(rule)s, by deciding all alike") % {
        "field": field_name(one.field),
        "rule": one.get_rule_after_display(),
    }
    taken = badge(_("taken back"), "muted") if one.undone_at else ""
    return format_html("{} {}", link(page_url(one), text), taken)
