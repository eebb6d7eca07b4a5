"""Admin pages of dispositions: how each is written in each CRM, what it brings about, and all of it as a matrix.

Where the CRM's choices are known the form offers them; what it has besides is written as JSON.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast
from uuid import UUID

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from activities import matrix
from activities.admin_pages import OfOneTenant
from activities.advice import MendsAdvice
from activities.dispositions import plain as plain_name
from activities.matrix import Cell, Discovered, Line
from activities.models import DispositionEffect, DispositionMap
from integrations.admin_base import Panel, TenantScopedAdmin, only_tenant_id
from integrations.admin_forms import Select, TenantForm, json_object
from integrations.admin_html import NOTHING, ago_column, badge, bullets, link, page_url, plain
from integrations.models import CrmConnection, Tenant
from integrations.registry import PROVIDERS, provider_class, provider_label
from mapping.models import CrmField

CHANGE, VIEW = "activities.change_dispositionmap", "activities.view_dispositionmap"
PICK = "choice_"
STATES: Mapping[str, tuple[Any, str]] = {
    "mapped": (gettext_lazy("Mapped"), "good"),
    "default": (gettext_lazy("As usual"), "info"),
    "unmapped": (gettext_lazy("As text only"), "muted"),
    "lost": (gettext_lazy("Not in the CRM"), "bad"),
}


# --- one map --------------------------------------------------------------------------------------------------------


class DispositionForm(TenantForm):
    identity = ("tenant", "crm_provider", "disposition")
    picks: ClassVar[Mapping[str, str]] = {}
    """Form field → the CRM's field whose choices it offers."""
    known: ClassVar[Discovered] = Discovered()

    class Meta:
        model = DispositionMap
        fields = "__all__"
        help_texts = {
            "values": gettext_lazy('The CRM\'s own fields of a call, for instance {"outcome": "Left Voicemail"}.'),
            "disposition": gettext_lazy("As the dialer writes it; capitals don't matter."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.picks or "values" not in self.fields:
            return
        held = self._held()
        self.fields["values"].required = False
        self.fields["values"].label = _("other values")
        self.initial["values"] = {path: value for path, value in held.items() if path not in self.picks.values()}
        for name, path in self.picks.items():
            current, field = str(held.get(path) or ""), cast("forms.ChoiceField", self.fields[name])
            chosen = self._choice(path, current)
            field.choices = [("", _("– nothing is said –")), *_more_choices(current, chosen), *self.known.choices[path]]
            self.initial[name] = chosen or current

    def clean_values(self) -> dict[str, Any]:
        values = json_object(self.cleaned_data["values"])
        nested = [name for name, value in values.items() if isinstance(value, dict | list)]
        if nested:
            raise forms.ValidationError(_("%(names)s: write one value for each field.") % {"names": ", ".join(nested)})
        return values

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        provider = data.get("crm_provider") or self.instance.crm_provider
        if self.picks and not data.get("values") and not self.picks.keys() & self.data.keys():
            # The CRM was chosen just now: its choices are on the page that comes back.
            self.add_error("values", _("Choose how it is written in this CRM."))
        elif provider and "values" in data:
            data["values"] = {**data["values"], **self._picked(data)}
            self._check(data, provider)
        return data

    def _check(self, data: Mapping[str, Any], provider: str) -> None:
        values = data["values"]  # which an error takes out of the data
        owner = data["tenant"].pk if data.get("tenant") else self.instance.tenant_id
        unknown = unknown_fields(owner, provider, values) if owner else []
        if unknown:
            names, crm = ", ".join(unknown), provider_label(provider)
            self.add_error(
                "values", _("%(crm)s has no such field of a call: %(names)s.") % {"crm": crm, "names": names}
            )
        shown = {path: name for name, path in self.picks.items()}
        for lost in matrix.lost_values(provider_class(provider), values, self.known):
            if lost.offered:
                facts = {"value": lost.value, "field": lost.field, "offered": ", ".join(lost.offered)}
                text = _("The CRM has no “%(value)s” in %(field)s. It offers: %(offered)s.") % facts
                self.add_error(shown.get(lost.field, "values"), text)

    def _picked(self, data: Mapping[str, Any]) -> dict[str, str]:
        """A word that means what was chosen stays as it was written."""
        held = self._held()
        picked = {path: str(data[name]) for name, path in self.picks.items() if data.get(name)}
        return {
            path: held[path] if path in held and self._choice(path, str(held[path])) == value else value
            for path, value in picked.items()
        }

    def _held(self) -> dict[str, Any]:
        values = self.instance.values if not self.instance._state.adding else self.initial.get("values")
        return dict(values) if isinstance(values, dict) else {}

    def _choice(self, path: str, value: str) -> str | None:
        provider = self.instance.crm_provider or self.initial.get("crm_provider") or self.data.get("crm_provider")
        if not value or provider not in PROVIDERS:
            return None
        return provider_class(provider).call_choice(path, value, self.known.choices[path])


def _more_choices(current: str, chosen: str | None) -> list[tuple[str, str]]:
    """The present value, where it is no choice of the CRM."""
    if not current or chosen:
        return []
    words = _("%(value)s (stays text)") if chosen == "" else _("%(value)s (the CRM has it no more)")
    return [(current, words % {"value": current})]


def unknown_fields(tenant_id: Any, provider: str, values: Mapping[str, Any]) -> list[str]:
    """Fields that the CRM was not found to have. Before anything was discovered all are taken."""
    crm = provider_class(provider)
    discovered = CrmField.objects.filter(
        tenant_id=tenant_id, connection__provider=provider, object_type=crm.call_type, missing_since=None
    )
    known = set(discovered.values_list("path", flat=True))
    usual = {field for outcome in crm.default_dispositions.values() for field in outcome}
    return sorted(values.keys() - known - usual) if known else []


class DispositionMapAdmin(MendsAdvice, OfOneTenant, TenantScopedAdmin):
    form = DispositionForm
    list_display = ("disposition", "crm_provider", "written", ago_column("updated_at", gettext_lazy("changed")))
    list_filter = ("crm_provider",)
    search_fields = ("disposition__istartswith",)
    search_help_text = gettext_lazy("Beginning of the disposition")
    ordering = ("tenant__name", "crm_provider", "disposition", "pk")

    @admin.display(description=gettext_lazy("CRM values"))
    def written(self, row: DispositionMap) -> str:
        return _written(row.values)

    # --- the form -------------------------------------------------------------------------------------------------

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        picks = _picks(request, obj)[0] if self._edits(request, obj) else {}
        return ["crm_provider", "disposition", *picks, "values"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        own = super().get_readonly_fields(request, obj)
        return [*own, "crm_provider"] if obj else own

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        picks, known = _picks(request, obj) if self._edits(request, obj) else ({}, Discovered())
        fields = {name: forms.ChoiceField(label=path, required=False, widget=Select) for name, path in picks.items()}
        form = type("FormWithChoices", (DispositionForm,), {**fields, "picks": picks, "known": known})
        return super().get_form(request, obj, change=change, **{"form": form, **kwargs})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A map that is begun in the matrix begins with what is usual for the disposition."""
        given: dict[str, Any] = dict(super().get_changeform_initial_data(request))
        if given.get("crm_provider") in PROVIDERS and given.get("disposition"):
            given["values"] = dict(
                matrix.default_values(provider_class(given["crm_provider"]), str(given["disposition"]))
            )
        return given

    def _edits(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj) if obj else self.has_add_permission(request)

    # --- the matrix -----------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        return [self.tenant_page("coverage", self.coverage_page, VIEW), *super().get_urls()]

    def coverage_page(self, request: HttpRequest, tenant: Tenant) -> HttpResponse:
        found = matrix.lines(tenant.pk)
        crms = [one.connection for one in found[0].cells] if found else []
        may = _Rights(request)
        headers = [
            _("Disposition"),
            _("Calls in 90 days"),
            *(one.get_provider_display() for one in crms),
            _("What it brings about"),
        ]
        rows = [
            [line.disposition, f"{line.calls:,}", *(_cell(one, may) for one in line.cells), _effects(line, tenant, may)]
            for line in found
        ]
        empty = _("No CRM is connected, and no call had a disposition yet. Connect a CRM to begin with the usual maps.")
        more = (page_url(DispositionMap, "changelist"), _("All maps"))
        return self.shown(
            request,
            "admin/tenant_page.html",
            _("Dispositions"),
            lines=_summary(found, crms),
            links=[] if crms else [(page_url(CrmConnection, "changelist"), _("Connections"))],
            panels=[Panel(_("In each CRM"), headers, rows, empty, more)],
        )


class _Rights:
    """What the person may do on the matrix."""

    def __init__(self, request: HttpRequest) -> None:
        self.maps = request.user.has_perm(CHANGE)
        self.effects = request.user.has_perm("activities.change_dispositioneffect")


def _picks(request: HttpRequest, obj: DispositionMap | None) -> tuple[dict[str, str], Discovered]:
    """The selects of a map's form, and what the CRM offers; none while the CRM is not known. Read once for each page."""
    read: tuple[dict[str, str], Discovered] | None = getattr(request, "disposition_picks", None)
    if read is None:
        read = _read_picks(request, obj)
        request.disposition_picks = read  # type: ignore[attr-defined]
    return read


def _read_picks(request: HttpRequest, obj: DispositionMap | None) -> tuple[dict[str, str], Discovered]:
    said = request.POST if request.method == "POST" else request.GET
    slug = obj.crm_provider if obj else said.get("crm_provider", "")
    owner = obj.tenant_id if obj else only_tenant_id() or _uuid(said.get("tenant", ""))
    connection = (
        CrmConnection.objects.filter(tenant=owner, provider=slug).first() if owner and slug in PROVIDERS else None
    )
    if connection is None:
        return {}, Discovered()
    known = matrix.discovered([connection]).get(connection.pk, Discovered())
    usual = (path for values in provider_class(slug).default_dispositions.values() for path in values)
    paths = dict.fromkeys((*usual, *(obj.values if obj else ())))
    offered = [path for path in paths if path in known.choices]
    return {f"{PICK}{number}": path for number, path in enumerate(offered)}, known


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


# --- cells ----------------------------------------------------------------------------------------------------------


def _summary(lines: Sequence[Line], crms: Sequence[CrmConnection]) -> list[str]:
    told = [
        _("How each disposition is written in each CRM. One that is not mapped stands in the call's text there."),
    ]
    lost = sum(1 for line in lines for cell in line.cells if cell.lost)
    if lost:
        words = ngettext(
            "%(count)d map names a value that its CRM has no more. Choose another one.",
            "%(count)d maps name a value that their CRM has no more. Choose other ones.",
            lost,
        )
        told.append(words % {"count": lost})
    return told if crms else []


def _cell(cell: Cell, may: _Rights) -> SafeString:
    words, level = STATES[cell.state]
    said = _written(cell.values) if cell.values else _("The word goes into the call's text.")
    problems = format_html_join("", "<div>{}</div>", ((_what_is_lost(one),) for one in cell.lost))
    button = link(_map_url(cell), _("Change") if cell.row else _("Map")) if may.maps else ""
    return format_html("<div>{}</div><div>{}</div>{}{}", badge(words, level), said, problems, button)


def _what_is_lost(one: matrix.Lost) -> str:
    facts = {"value": one.value, "field": one.field, "offered": ", ".join(one.offered[:8])}
    if not one.offered:
        return _("The CRM has no field %(field)s any more, or hides it.") % facts
    return _("No “%(value)s” in %(field)s any more. It offers: %(offered)s.") % facts


def _map_url(cell: Cell) -> str:
    if cell.row is not None:
        return page_url(cell.row)
    chosen = {
        "crm_provider": cell.connection.provider,
        "disposition": cell.disposition,
        "tenant": cell.connection.tenant_id,
    }
    return page_url(DispositionMap, "add", **chosen)


def _effects(line: Line, tenant: Tenant, may: _Rights) -> SafeString | str:
    told = bullets(effect_words(line.effect)) if line.effect else NOTHING
    if not may.effects:
        return told
    own = line.effect is not None and line.effect.pk is not None
    url = page_url(line.effect) if own and line.effect else page_url(DispositionEffect, "add", **_begun(line, tenant))
    return format_html("{} {}", told, link(url, _("Change") if line.effect else _("Add")))


def _begun(line: Line, tenant: Tenant) -> dict[str, object]:
    usual = {"do_not_call": 1} if line.effect and line.effect.do_not_call else {}
    return {"disposition": line.disposition, "tenant": tenant.pk, **usual}


def _written(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{field}: {plain(value)}" for field, value in values.items()) or NOTHING


# --- what a disposition brings about --------------------------------------------------------------------------------


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
