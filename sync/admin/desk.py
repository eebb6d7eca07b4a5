"""The conflict desk: open conflicts one at a time, both sides next to each other, the next one by itself, each decision undoable.

Everything works by plain forms; the script only adds keys (see config/static/dialbridge/desk.js).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.admin_base import Panel, sees_several
from integrations.admin_html import ago, outward, page_link, page_url, plain
from integrations.admin_tenant_pages import OfOneTenant, scripts
from integrations.models import Tenant
from mapping.fields import field_name
from sync import conflicts, desk, stories, values
from sync.admin.decisions import after_taking_back, decision_words, latest_of
from sync.admin.in_turn import marked
from sync.admin.other_value import OtherValueForm, plain_text
from sync.admin.stories import person_name
from sync.conflicts import Choice
from sync.desk import Heap, Queue
from sync.models import Conflict, ConflictDecision, Contact, FieldChange, SyncRecord
from sync.pushes import CONTACTS

VIEW, DECIDE = "sync.view_conflict", "sync.change_conflict"
CONTEXT: list[Callable[[Contact], Panel]] = []
"""What apps above know of a person who is decided about: tables beside the conflict."""
ONE = {"ours": Choice.OURS, "theirs": Choice.THEIRS, "other": Choice.OTHER}
ALL = {"all_ours": Choice.OURS, "all_theirs": Choice.THEIRS}


class Desk(OfOneTenant):
    """Mixed in before the page of conflicts."""

    def get_urls(self) -> list[URLPattern]:
        return [self.tenant_page("desk", self.desk_page, VIEW), *super().get_urls()]

    def which_tenant(self, request: HttpRequest, address: str) -> HttpResponse:
        """With how many wait for whom."""
        waiting = desk.by_tenant()
        links = [
            (f"?tenant={pk}", _("%(tenant)s: %(count)s") % {"tenant": name, "count": f"{count:,}"})
            for pk, name, count in waiting
        ]
        lines = [
            _("Choose whose conflicts to decide.")
            if links
            else _("No tenant has an open conflict. Nothing is to do here.")
        ]
        links.append((page_url(Conflict, "changelist"), _("All conflicts as a list")))
        return self.shown(request, "admin/tenant_page.html", _("Conflicts"), lines=lines, links=links, panels=())

    def desk_page(self, request: HttpRequest, tenant: Tenant) -> HttpResponse:
        queue = _queue(request, tenant)
        if request.method == "POST":
            if not request.user.has_perm(DECIDE):
                raise PermissionDenied
            return self._decided(request, queue)
        return self._desk(request, queue)

    # --- showing --------------------------------------------------------------------------------------------------

    def _desk(self, request: HttpRequest, queue: Queue, form: OtherValueForm | None = None) -> HttpResponse:
        row = form.conflict if form else queue.find(at=_number(request, "at"), after=_number(request, "after"))
        found = desk.heaps(queue.tenant_id)
        total = sum(heap.count for heap in found if queue.has(heap))
        context: dict[str, Any] = {
            "filters": _filters(queue, found),
            "undo": latest_of(queue.tenant_id, person_name(request)),
            "may_decide": request.user.has_perm(DECIDE),
            "list_url": page_url(Conflict, "changelist", status__exact="open"),
            "decisions_url": page_url(ConflictDecision, "changelist"),
            "here": _address(queue),
            "whole_url": _address(Queue(queue.tenant_id)) if queue.field or queue.connection_id else "",
            "page_scripts": scripts("desk"),
        }
        if context["undo"]:
            context["undo_words"] = decision_words(context["undo"])
        if row is not None:
            context |= _about(queue, row, found, max(total, 1), form)
        return self.shown(request, "admin/desk.html", _("Conflicts"), **context)

    # --- deciding -------------------------------------------------------------------------------------------------

    def _decided(self, request: HttpRequest, queue: Queue) -> HttpResponse:
        what = request.POST.get("do", "")
        if what == "undo":
            return self._undone(request, queue)
        row = _asked_about(request, queue)
        if what == "other":
            form = OtherValueForm(row, request.POST)
            if not form.is_valid():
                return self._desk(request, queue, form)
            self._say(
                request,
                row,
                conflicts.resolve(row, Choice.OTHER, person_name(request), value=form.cleaned_data["value"]),
            )
        elif what in ONE:
            self._say(request, row, conflicts.resolve(row, ONE[what], person_name(request)))
        elif what in ALL:
            count = conflicts.resolve_alike(row, ALL[what], person_name(request), user_id=request.user.pk)
            self.message_user(request, decided_words(row, ALL[what], count), messages.SUCCESS)
        else:
            raise Http404("There is no such decision.")
        return redirect(_address(queue, after=row.pk))

    def _say(self, request: HttpRequest, row: Conflict, decided: bool) -> None:
        about = {"field": field_name(row.field), "contact": str(row.contact)}
        if decided:
            self.message_user(request, _("%(field)s of %(contact)s is decided.") % about, messages.SUCCESS)
        else:
            text = _("%(field)s of %(contact)s was decided already. Nothing was changed.")
            self.message_user(request, text % about, messages.INFO)

    def _undone(self, request: HttpRequest, queue: Queue) -> HttpResponse:
        decision = ConflictDecision.objects.filter(
            tenant_id=queue.tenant_id, pk=_uuid(request.POST.get("decision", ""))
        ).first()
        if decision is None:
            raise Http404("There is no such decision.")
        first = decision.conflicts.order_by("pk").values_list("pk", flat=True).first()
        kept = after_taking_back(self, request, decision)
        return redirect(page_url(decision) if kept else _address(Queue(queue.tenant_id), at=first or 0))


def _queue(request: HttpRequest, tenant: Tenant) -> Queue:
    chosen = request.GET.get("connection", "")
    return Queue(tenant.pk, request.GET.get("field", ""), _uuid(chosen) if chosen else None)


def _asked_about(request: HttpRequest, queue: Queue) -> Conflict:
    rows = Conflict.objects.filter(tenant_id=queue.tenant_id).select_related("contact", "record", "tenant")
    row: Conflict | None = rows.filter(pk=desk.as_number(request.POST.get("conflict", "")) or 0).first()
    if row is None:
        raise Http404("There is no such conflict.")
    return row


def _number(request: HttpRequest, name: str) -> int | None:
    return desk.as_number(request.GET.get(name, ""))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Http404("There is no such connection.") from error


def _address(queue: Queue, **more: int) -> str:
    chosen: dict[str, object] = {
        **({"tenant": queue.tenant_id} if sees_several() else {}),
        **({"field": queue.field} if queue.field else {}),
        **({"connection": queue.connection_id} if queue.connection_id else {}),
        **more,
    }
    return page_url(Conflict, "desk", **chosen) if chosen else page_url(Conflict, "desk")


# --- what is shown of one conflict ----------------------------------------------------------------------------------


def _about(
    queue: Queue, row: Conflict, found: Sequence[Heap], total: int, form: OtherValueForm | None
) -> dict[str, Any]:
    place = queue.place(row)
    alike = next((heap.count for heap in found if _is_of(heap, row)), 1)
    crm = row.record.get_crm_provider_display()
    return {
        "row": row,
        "field": field_name(row.field),
        "crm": crm,
        "place": place,
        "total": f"{total:,}{'+' if total >= desk.MOST else ''}",
        "previous": _address(queue, at=place.previous) if place.previous else "",
        "following": _address(queue, at=place.following) if place.following else "",
        "sides": _sides(row, crm),
        "form": form or OtherValueForm(row),
        "alike": alike,
        "alike_lines": alike_lines(row, alike),
        "facts": _facts(row),
        "panels": [one(row.contact) for one in CONTEXT],
        "conflict_url": page_url(row),
    }


def _is_of(heap: Heap, row: Conflict) -> bool:
    return (heap.field, heap.connection_id) == (row.field, row.record.connection_id)


def _sides(row: Conflict, crm: str) -> list[dict[str, Any]]:
    now = values.read(row.contact, [row.field])[row.field]
    ours, theirs = desk.difference(plain_text(now), plain_text(row.theirs))
    return [
        {
            "title": _("Agreed before"),
            "value": plain(row.base),
            "who": _("What both sides had when they last were the same."),
            "when": "",
        },
        {"title": _("Dialer"), "value": _marked(ours), "who": _who(row), "when": ago(row.ours_at, ""), "key": "ours"},
        {
            "title": crm,
            "value": _marked(theirs),
            "who": _("somebody in %(crm)s") % {"crm": crm},
            "when": ago(row.theirs_at, ""),
            "key": "theirs",
        },
    ]


def _marked(parts: desk.Parts) -> SafeString | str:
    return marked(parts) if parts else format_html('<em class="db-blank">{}</em>', _("blank"))


def _who(row: Conflict) -> str:
    changes = FieldChange.objects.filter(contact=row.contact_id, field=row.field)
    others = changes.exclude(source="crm", connection=row.record.connection_id)
    last = others.select_related("connection").order_by("-pk").first()
    return stories.who(last) if last else ""


def _facts(row: Conflict) -> list[tuple[str, object]]:
    contact = row.contact
    links = SyncRecord.objects.filter(local_record_id=contact.pk, local_table=CONTACTS).order_by("crm_provider", "pk")
    places = [
        (one.get_crm_provider_display(), outward(one.url, f"{one.crm_object_type} {one.crm_record_id}"))
        for one in links.defer("base", "metadata")
    ]
    told: list[tuple[str, object]] = [
        (_("Contact"), page_link(contact)),
        (_("Company"), plain(contact.company)),
        (_("E-mail"), plain(contact.email)),
        (_("Phone"), plain(contact.phone or contact.mobile_phone)),
    ]
    return [*told, *places]


def _filters(queue: Queue, found: Sequence[Heap]) -> list[Mapping[str, Any]]:
    """One link for each field with each CRM that something waits for."""
    shown = [heap for heap in found if heap.count]
    return [
        {
            "words": _("%(field)s, %(crm)s") % {"field": field_name(heap.field), "crm": heap.crm},
            "count": f"{heap.count:,}",
            "url": _address(Queue(queue.tenant_id, heap.field, heap.connection_id)),
            "chosen": queue.field == heap.field and queue.connection_id == heap.connection_id,
        }
        for heap in shown[:12]
    ]


def alike_lines(row: Conflict, count: int) -> list[str]:
    """What deciding all that are alike does."""
    facts = {"count": count, "field": field_name(row.field), "crm": row.record.get_crm_provider_display()}
    about = ngettext(
        "%(count)d open conflict about %(field)s with %(crm)s is decided this way.",
        "%(count)d open conflicts about %(field)s with %(crm)s are decided this way.",
        count,
    )
    return [
        about % facts,
        _(
            "From now on it is the rule for the field, which is published as a new version of the mapping. Nobody is asked again."
        ),
        _("What loses stays in each contact's history. All of it can be undone together."),
    ]


def decided_words(row: Conflict, choice: Choice, count: int) -> str:
    """What became of deciding all that were alike."""
    text = ngettext("%(count)d conflict is decided.", "%(count)d conflicts are decided.", count) % {"count": count}
    rule = _("The rule for %(field)s is now: %(rule)s.") % {
        "field": field_name(row.field),
        "rule": conflicts.RULES[choice].label,
    }
    return f"{text} {rule}"
