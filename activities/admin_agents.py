"""Admin pages of agents: who they are in each CRM, said by hand, one by one; and the CRM's users."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from activities import agents
from activities.admin_agent_matrix import AgentMatrix
from activities.advice import MendsAdvice
from activities.models import AgentOverride, CrmAgent
from integrations.admin_base import ReadOnlyAdmin, TenantScopedAdmin
from integrations.admin_forms import ModelForm, Select
from integrations.admin_html import ago_column, yes_column
from integrations.models import CrmConnection

NOBODY = ""


class OverrideForm(ModelForm):
    """The user is chosen among those of all connected CRMs; the connection follows from it unless nobody is chosen."""

    user = forms.ChoiceField(
        label=gettext_lazy("CRM user"),
        required=False,
        widget=Select,
        help_text=gettext_lazy(
            "Nobody: calls of this agent are logged there without an owner, and nobody is warned of it."
        ),
    )

    class Meta:
        model = AgentOverride
        fields = ("connection", "agent_email")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        users = CrmAgent.objects.filter(is_active=True).select_related("connection", "connection__tenant")
        users = users.defer("connection__access_token", "connection__refresh_token", "connection__secrets")
        wanted = self.instance.connection_id or self.initial.get("connection")
        if wanted:
            users = users.filter(connection=wanted)
        self.users = {str(one.pk): one for one in users.order_by("connection", "name", "pk")}
        field = self.fields["user"]
        field.choices = [(NOBODY, _("– nobody –")), *_grouped(self.users.values())]  # type: ignore[attr-defined]
        held = self.instance.crm_user_id or self.initial.get("crm_user_id")
        if held:
            self.initial["user"] = next((pk for pk, one in self.users.items() if one.crm_user_id == held), NOBODY)

    def clean_agent_email(self) -> str:
        return agents.plain(self.cleaned_data["agent_email"])

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        connection = data.get("connection") or getattr(self.instance, "connection", None)
        user = self.users.get(data.get("user", ""))
        if connection is None:
            return data
        if user is not None and user.connection_id != connection.pk:
            self.add_error("user", _("This is a user of another CRM. Choose one of %(crm)s.") % {"crm": connection})
        email = data.get("agent_email", "")
        others = AgentOverride.objects.filter(connection=connection, agent_email=email).exclude(pk=self.instance.pk)
        if email and others.exists():
            self.add_error("agent_email", _("It has been said already who this agent is there. Change that."))
        self.instance.tenant_id = connection.tenant_id
        self.instance.crm_user_id = user.crm_user_id if user is not None else ""
        return data


def _grouped(users: Iterable[CrmAgent]) -> list[tuple[str, list[tuple[str, str]]]]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for one in users:
        words = f"{one.name} ({one.email})" if one.name and one.email else str(one)
        groups.setdefault(str(one.connection), []).append((str(one.pk), words))
    return list(groups.items())


class AgentOverrideAdmin(AgentMatrix, MendsAdvice, TenantScopedAdmin):
    nothing_yet = gettext_lazy(
        "Nobody was named by hand: each agent's calls belong to the CRM user with the same e-mail address."
    )
    form: Any = OverrideForm
    list_display = ("agent_email", "connection", "who", ago_column("updated_at", gettext_lazy("changed")))
    list_select_related = ("connection",)
    search_fields = ("agent_email__istartswith",)
    search_help_text = gettext_lazy("Beginning of the e-mail")
    ordering = ("agent_email", "pk")
    fields = ("connection", "agent_email", "user")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without the tenant, which is the connection's."""
        names = self.fields if self._edits(request, obj) else ("connection", "agent_email", "crm_user_id")
        return [(None, {"fields": list(names)})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return ["connection"] if obj else []

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "connection":
            kwargs["queryset"] = CrmConnection.objects.only("tenant", "provider", "account_name", "account_id")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """With the names of the chosen users, read together."""
        changes = super().get_changelist_instance(request)
        rows = list(changes.result_list)
        chosen = CrmAgent.objects.filter(
            connection__in={row.connection_id for row in rows}, crm_user_id__in={row.crm_user_id for row in rows}
        )
        names = {(one.connection_id, one.crm_user_id): one for one in chosen}
        for row in rows:
            row.chosen = names.get((row.connection_id, row.crm_user_id))
        changes.result_list = rows
        return changes

    @admin.display(description=gettext_lazy("CRM user"))
    def who(self, row: Any) -> str:
        if not row.crm_user_id:
            return _("nobody")
        if row.chosen is None or row.chosen.is_active:
            return str(row.chosen or row.crm_user_id)
        return _("%(name)s, who has left") % {"name": row.chosen}

    def _edits(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj) if obj else self.has_add_permission(request)


class CrmAgentAdmin(ReadOnlyAdmin, TenantScopedAdmin):
    nothing_yet = gettext_lazy("The CRMs' users were not read yet. That happens once a day, or from the page “Agents”.")
    list_display = (
        "name", "email", "connection", yes_column("is_active", gettext_lazy("active")),
        ago_column("seen_at", gettext_lazy("seen")),
    )  # fmt: skip
    list_filter = ("is_active", "connection__provider")
    list_select_related = ("connection",)
    search_fields = ("email__istartswith", "name__istartswith")
    search_help_text = gettext_lazy("Beginning of the name or e-mail")
    ordering = ("name", "pk")
    fields = ("name", "email", "connection", "crm_user_id", "is_active", "seen_at")
