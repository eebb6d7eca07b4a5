"""The editor of dispositions: each in each CRM, chosen from what the CRM offers, with what it brings about, in one form."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from activities import disposition_editing as editing
from activities import disposition_storing
from activities.admin_effects import effect_words
from activities.advice import refresh_tenants
from activities.disposition_editing import Row, Said, Square
from activities.matrix import Lost
from activities.models import DispositionEffect, DispositionMap
from integrations.admin_base import Question, sees_several
from integrations.admin_html import page_url, plain
from integrations.admin_tenant_pages import OfOneTenant, scripts
from integrations.models import CrmConnection, Tenant

CHANGE, VIEW = "activities.change_dispositionmap", "activities.view_dispositionmap"
CHANGE_EFFECTS = "activities.change_dispositioneffect"
STATES: Mapping[str, tuple[Any, str]] = {
    "mapped": (gettext_lazy("Mapped"), "good"),
    "default": (gettext_lazy("As usual"), "info"),
    "unmapped": (gettext_lazy("As text only"), "muted"),
    "lost": (gettext_lazy("Not in the CRM"), "bad"),
}
SHOWN = 12
"""Names that a question lists."""


class DispositionMatrix(OfOneTenant):
    """Mixed in before the page of disposition maps."""

    def get_urls(self) -> list[URLPattern]:
        own = [
            self.tenant_page("coverage", self.coverage_page, VIEW),
            self.tenant_page("remove", self.remove_page, CHANGE),
            self.tenant_page("defaults", self.defaults_page, CHANGE),
        ]
        return [*own, *super().get_urls()]

    def coverage_page(self, request: HttpRequest, tenant: Tenant) -> HttpResponse:
        rows = editing.rows_of(tenant.pk)
        if request.method != "POST":
            return self._matrix(request, tenant, rows)
        if not (request.user.has_perm(CHANGE) and request.user.has_perm(CHANGE_EFFECTS)):
            raise PermissionDenied
        what = request.POST.get("do", "save")
        data = _repaired(rows, what.removeprefix("repair:")) if what.startswith("repair:") else request.POST
        said = editing.read(rows, data)
        added, problem = editing.new_name(rows, str(data.get("new_name", "")))
        if problem:
            said.problems["new_name"] = problem
        if said.problems or what == "preview":
            return self._matrix(request, tenant, rows, said, data)
        disposition_storing.store(tenant.pk, said, added)
        refresh_tenants([tenant.pk])
        self._tell(request, said, added)
        return redirect(_address(tenant))

    def _tell(self, request: HttpRequest, said: Said, added: str) -> None:
        count = said.changes + bool(added)
        if not count:
            self.message_user(request, _("Nothing was changed."), messages.INFO)
            return
        words = ngettext("Saved: %(count)d change.", "Saved: %(count)d changes.", count) % {"count": count}
        self.message_user(request, f"{words} {_('Calls from now on are logged so.')}", messages.SUCCESS)

    # --- going back -----------------------------------------------------------------------------------------------

    def remove_page(self, request: HttpRequest, tenant: Tenant) -> HttpResponse:
        name = request.GET.get("name", "")
        question = Question(
            title=_("Remove “%(name)s”?") % {"name": name},
            lines=[
                _("What is stored of it goes: how it is written in each CRM, and what it brings about."),
                _("Where a CRM has a usual way to write it, that holds again; else calls carry the word in their text."),
                _("Calls that are logged already stay as they are."),
            ],
            button=_("Remove"),
            danger=True,
        )  # fmt: skip
        page = self.ask(request, None, question)
        if page:
            return page
        disposition_storing.remove(tenant.pk, name)
        refresh_tenants([tenant.pk])
        self.message_user(request, _("“%(name)s” is removed.") % {"name": name}, messages.SUCCESS)
        return redirect(_address(tenant))

    def defaults_page(self, request: HttpRequest, tenant: Tenant) -> HttpResponse:
        differing = disposition_storing.differing_from_usual(tenant.pk)
        if not differing:
            self.message_user(request, _("All usual dispositions are written as usual already."), messages.INFO)
            return redirect(_address(tenant))
        names = ", ".join(differing[:SHOWN]) + (" …" if len(differing) > SHOWN else "")
        question = Question(
            title=_("Write the usual dispositions as usual again?"),
            lines=[
                _("These are set back to how a new connection has them: %(names)s.") % {"names": names},
                _("Dispositions of your own, and what dispositions bring about, stay as they are."),
            ],
            button=_("Defaults again"),
            danger=True,
        )
        page = self.ask(request, None, question)
        if page:
            return page
        count = disposition_storing.restore_defaults(tenant.pk)
        refresh_tenants([tenant.pk])
        words = ngettext("%(count)d map is as usual again.", "%(count)d maps are as usual again.", count)
        self.message_user(request, words % {"count": count}, messages.SUCCESS)
        return redirect(_address(tenant))

    # --- showing --------------------------------------------------------------------------------------------------

    def _matrix(
        self, request: HttpRequest, tenant: Tenant, rows: Sequence[Row], said: Said | None = None, data: Any = None
    ) -> HttpResponse:
        said, data = said or Said(), data or {}
        may = request.user.has_perm(CHANGE) and request.user.has_perm(CHANGE_EFFECTS)
        crms = [square.cell.connection for square in rows[0].squares] if rows else []
        return self.shown(
            request,
            "admin/dispositions.html",
            _("Dispositions"),
            may_change=may,
            crms=crms,
            rows=[_row(one, said, data, tenant) for one in rows],
            problems=[text for name, text in said.problems.items() if name.startswith("seen:")],
            new_name={"value": data.get("new_name", ""), "problem": said.problems.get("new_name", "")},
            lost=_lost_words(rows),
            sample=_sample(rows, said, data),
            unread=[one.get_provider_display() for one in crms if not _offers(rows, one)],
            connections_url=page_url(CrmConnection, "changelist"),
            maps_url=page_url(DispositionMap, "changelist"),
            effects_url=page_url(DispositionEffect, "changelist"),
            defaults_url=_address(tenant, "defaults"),
            page_scripts=scripts("editing"),
        )


def _address(tenant: Tenant, page: str = "coverage", **more: object) -> str:
    chosen = {**({"tenant": tenant.pk} if sees_several() else {}), **more}
    return page_url(DispositionMap, page, **chosen)


def _repaired(rows: Sequence[Row], name: str) -> dict[str, str]:
    """A form in which nothing but this select has changed: to what is suggested for it."""
    picks = {pick.name: (row, pick) for row in rows for square in row.squares for pick in square.picks}
    row, pick = picks.get(name, (None, None))
    if row is None or pick is None or pick.suggested is None:
        return {}
    return {name: pick.suggested[0], f"seen:{row.number}": row.state}


def _offers(rows: Sequence[Row], connection: CrmConnection) -> bool:
    return any(square.picks for row in rows for square in row.squares if square.cell.connection.pk == connection.pk)


def _lost_words(rows: Sequence[Row]) -> str:
    lost = sum(bool(square.cell.lost) for row in rows for square in row.squares)
    if not lost:
        return ""
    words = ngettext(
        "%(count)d map names a value that its CRM has no more. Choose another one below.",
        "%(count)d maps name a value that their CRM has no more. Choose other ones below.",
        lost,
    )
    return words % {"count": lost}


def _row(row: Row, said: Said, data: Any, tenant: Tenant) -> dict[str, Any]:
    posted = row.effect_name("effects") in data
    effect = editing.effect_values(row.line.effect)
    days = effect["follow_up_days"]
    return {
        "number": row.number,
        "name": row.line.disposition,
        "calls": calls_words(row.line.calls),
        "seen": row.state,
        "own": row.own,
        "remove_url": _address(tenant, "remove", name=row.line.disposition),
        "squares": [_square(one, said, data) for one in row.squares],
        "dnc": bool(data.get(row.effect_name("dnc"))) if posted else effect["do_not_call"],
        "meeting": bool(data.get(row.effect_name("meeting"))) if posted else effect["books_meeting"],
        "lead": data.get(row.effect_name("lead"), effect["lead_status"]),
        "days": data.get(row.effect_name("days"), "" if days is None else days),
        "lead_problem": said.problems.get(row.effect_name("lead"), ""),
        "days_problem": said.problems.get(row.effect_name("days"), ""),
    }


def calls_words(calls: int) -> str:
    """Of the time that is looked back on."""
    return ngettext("%(count)s call in 90 days", "%(count)s calls in 90 days", calls) % {"count": f"{calls:,}"}


def _square(square: Square, said: Said, data: Any) -> dict[str, Any]:
    cell = square.cell
    words, level = STATES[cell.state]
    chosen = {
        "crm_provider": cell.connection.provider,
        "disposition": cell.disposition,
        "tenant": cell.connection.tenant_id,
    }
    return {
        "crm": cell.connection.get_provider_display(),
        "words": words,
        "level": level,
        "url": page_url(cell.row) if cell.row is not None else page_url(DispositionMap, "add", **chosen),
        "others": ", ".join(f"{path}: {plain(value)}" for path, value in square.others.items()),
        "text_only": not square.picks and not cell.values,
        "picks": [
            {
                "name": pick.name,
                "path": pick.path,
                "choices": _choices(pick),
                "chosen": str(data.get(pick.name, pick.held)),
                "lost": _what_is_lost(pick.lost) if pick.lost else "",
                "suggested": pick.suggested[1] if pick.suggested else "",
                "problem": said.problems.get(pick.name, ""),
            }
            for pick in square.picks
        ],
        "gone": [_what_is_lost(one) for one in cell.lost if not one.offered],
    }


def _choices(pick: editing.Pick) -> list[tuple[str, str]]:
    known = dict(pick.choices)
    words = _("%(value)s (the CRM has it no more)") if pick.lost else _("%(value)s (stays text)")
    held = [(pick.held, words % {"value": pick.held})] if pick.held and pick.held not in known else []
    return [("", _("– nothing is said –")), *held, *pick.choices]


def _what_is_lost(one: Lost) -> str:
    facts = {"value": one.value, "field": one.field, "offered": ", ".join(one.offered[:8])}
    if not one.offered:
        return _("The CRM has no field %(field)s any more, or hides it.") % facts
    return _("No “%(value)s” in %(field)s any more. It offers: %(offered)s.") % facts


def _sample(rows: Sequence[Row], said: Said, data: Any) -> dict[str, Any] | None:
    """How a call that ends in one disposition would be logged, as the form stands."""
    if not rows:
        return None
    wanted = str(data.get("sample", ""))
    row = next((one for one in rows if one.line.disposition == wanted), rows[0])
    effect = said.effects.get(row.line.disposition) or editing.effect_values(row.line.effect)
    told = DispositionEffect(disposition=row.line.disposition, **effect)
    return {
        "name": row.line.disposition,
        "names": [one.line.disposition for one in rows],
        "crms": [(one.cell.connection.get_provider_display(), _as_logged(one, row, said)) for one in row.squares],
        "effects": effect_words(told),
    }


def _as_logged(square: Square, row: Row, said: Said) -> list[str]:
    values = said.maps.get((square.cell.connection.provider, row.line.disposition), square.cell.values)
    labels = {pick.path: dict(pick.choices) for pick in square.picks}
    told = [f"{path}: {labels.get(path, {}).get(str(value), plain(value))}" for path, value in values.items()]
    return told or [_("No field says it; the text of the call does: “%(name)s”.") % {"name": row.line.disposition}]
