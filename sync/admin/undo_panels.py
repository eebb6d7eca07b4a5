"""What the page of an undo shows: the plan or the result in sentences, what is left and why, and the same as a file."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations import tenancy
from integrations.admin_audit import safe_cell
from integrations.admin_base import Panel
from integrations.admin_html import NOTHING, ago, page_link, page_url, plain
from mapping.fields import field_name
from mapping.models import FieldMapping
from sync.models import Contact, Undo, UndoItem

SHOWN = 50
EXAMPLES = 10
AT_ONCE = 1000
Kind, State, Status = UndoItem.Kind, UndoItem.State, Undo.Status
LEVELS = {
    "planning": "info",
    "ready": "warning",
    "running": "info",
    "done": "good",
    "failed": "bad",
    "discarded": "muted",
}
COLUMNS = (
    "contact", "contact_id", "what", "field", "crm_field", "before", "given", "now", "who", "when", "result", "reason",
)  # fmt: skip


def head(undo: Undo) -> dict[str, Any]:
    """For the template that stands above the form."""
    going = undo.status in (Status.PLANNING, Status.RUNNING)
    return {
        "undo": undo,
        "label": _label(undo),
        "level": LEVELS[undo.status],
        "going": going,
        "expected": (undo.total or None) if going else None,
        "sentences": [] if going or undo.status == Status.DISCARDED else sentences(undo),
        "has_list": undo.total > 0 and undo.status != Status.DISCARDED,
        "carry_out_url": page_url(undo, "carry_out") if undo.status == Status.READY and _does_anything(undo) else "",
        "discard_url": page_url(undo, "discard") if undo.status == Status.READY else "",
        "download_url": page_url(undo, "download"),
    }


def _label(undo: Undo) -> str:
    if undo.run_id:
        return _("Undoing") if undo.status == Status.RUNNING else _("The result")
    return _("Working out the plan") if undo.status == Status.PLANNING else _("The plan")


def _does_anything(undo: Undo) -> bool:
    return bool(undo.back_to_id or undo.counts.get("done"))


def sentences(undo: Undo) -> list[str]:
    """What would happen, or what happened."""
    return _past(undo) if undo.run_id else _future(undo)


def _future(undo: Undo) -> list[str]:
    counts, found = undo.counts, []
    if undo.back_to:
        words = _(
            "%(version)s comes back into force as a new version: %(rows)d rows. Later versions go with the undone one."
        )
        found.append(words % {"version": undo.back_to, "rows": len(undo.back_to.rows)})
        found += _switched_off(undo)
    found += [words for name, words in _parts(counts, done=False) if counts.get(name)]
    if counts.get("loosened"):
        words = ngettext(
            "Careful: %(count)s contact that must not be called now may be called again.",
            "Careful: %(count)s contacts that must not be called now may be called again.",
            counts["loosened"],
        )
        found.append(words % {"count": f"{counts['loosened']:,}"})
    if not counts.get("done"):
        found.append(_("No value goes back: everything is as it was already, or was edited since."))
    return [*found, *_left(counts)]


def _past(undo: Undo) -> list[str]:
    counts = undo.counts
    found = [words for name, words in _parts(counts, done=True) if counts.get(name)]
    if not counts.get("done"):
        found.append(_("No value went back: everything was as before already, or had been edited since."))
    if counts.get("records"):
        found.append(_("What goes to the CRMs by the ordinary way stands among the jobs until it is written."))
    return [*found, *_left(counts)]


def _parts(counts: Mapping[str, int], *, done: bool) -> list[tuple[str, str]]:
    facts = {name: f"{counts.get(name, 0):,}" for name in ("fields", "contacts", "records", "raw", "removed", "back")}
    if done:
        return [
            ("fields", _("%(fields)s values of %(contacts)s contacts are what they were before.") % facts),
            ("records", _("%(records)s records in the CRMs get their earlier values back.") % facts),
            ("removed", _("%(removed)s contacts that the run had made were removed here, and left alone in the CRM.") % facts),
            ("back", _("%(back)s contacts are here again.") % facts),
        ]  # fmt: skip
    return [
        ("fields", _("%(fields)s values of %(contacts)s contacts become what they were before.") % facts),
        ("records", _("%(records)s records in the CRMs are written, so that they get their earlier values back.") % facts),
        ("removed", _("%(removed)s contacts that the run made and nobody used are removed here, not in the CRM.") % facts),
        ("back", _("%(back)s contacts that were removed are here again.") % facts),
    ]  # fmt: skip


def _left(counts: Mapping[str, int]) -> list[str]:
    """By reason, so that it is seen at once whether somebody has to look."""
    labels = dict(UndoItem.Reason.choices)
    told = [f"{label} ({counts[name]:,})" for name, label in labels.items() if counts.get(name)]
    if not told:
        return []
    words = ngettext(
        "%(count)s value is left as it is: %(reasons)s.",
        "%(count)s values are left as they are: %(reasons)s.",
        counts.get("skipped", 0),
    )
    return [words % {"count": f"{counts.get('skipped', 0):,}", "reasons": ", ".join(told)}]


def _switched_off(undo: Undo) -> list[str]:
    rows = FieldMapping.objects.filter(
        tenant_id=undo.tenant_id, crm_provider=undo.connection.provider, dialer_field__in=undo.fields, is_active=True
    )
    kept = {row["dialer_field"] for row in (undo.back_to.rows if undo.back_to else ())}
    gone = sorted(field_name(one) for one in rows.values_list("dialer_field", flat=True) if one not in kept)
    return [_("These fields are not mapped any more then: %(fields)s.") % {"fields": ", ".join(gone)}] if gone else []


# --- tables ---------------------------------------------------------------------------------------------------------


def panels(undo: Undo) -> list[Panel]:
    if undo.status in (Status.PLANNING, Status.RUNNING, Status.DISCARDED):
        return []
    items = UndoItem.objects.filter(undo=undo)
    left = list(items.filter(state=State.SKIPPED).order_by("contact_id", "pk")[:SHOWN])
    goes = list(items.filter(state__in=[State.PLANNED, State.DONE]).order_by("contact_id", "pk")[:EXAMPLES])
    names = _names([*left, *goes])
    more = (page_url(undo, "download"), _("Download the whole list"))
    count = undo.counts.get("skipped", 0)
    title = _("Left as it is") if count <= SHOWN else _("Left as it is: the first %(shown)d of %(count)s") % {
        "shown": SHOWN, "count": f"{count:,}",
    }  # fmt: skip
    return [
        Panel(
            title,
            [_("Contact"), _("Field"), _("Was before"), _("Was given"), _("Is now"), _("Why it stays"), _("Who"), _("When")],
            [
                [
                    names(one), _what(one), plain(one.old), _given(one), plain(one.found), one.get_reason_display(),
                    one.who or NOTHING, ago(one.changed_at),
                ]
                for one in left
            ],
            _("Nothing stands in the way."),
            more if left else None,
        ),
        Panel(
            _("Examples of what went back") if undo.run_id else _("Examples of what goes back"),
            [_("Contact"), _("Field"), _("Was given"), _("Gets back")],
            [[names(one), _what(one), _given(one), _gets(one)] for one in goes],
            _("No value goes back."),
        ),
    ]  # fmt: skip


class _Names:
    """The contacts of some items, by one query."""

    def __init__(self, items: Iterable[UndoItem]) -> None:
        self.found: Mapping[UUID, Contact] = Contact.objects.in_bulk({one.contact_id for one in items})

    def __call__(self, item: UndoItem) -> str:
        contact = self.found.get(item.contact_id)
        return page_link(contact) if contact else NOTHING

    def text(self, item: UndoItem) -> str:
        contact = self.found.get(item.contact_id)
        return str(contact) if contact else ""


def _names(items: Sequence[UndoItem]) -> _Names:
    return _Names(items)


def _what(item: UndoItem) -> str:
    if item.kind in (Kind.CREATED, Kind.REMOVED):
        return str(item.get_kind_display())
    if item.kind == Kind.SENT:
        return _("%(field)s in the CRM (%(path)s)") % {"field": field_name(item.field), "path": item.path}
    return field_name(item.field)


def _given(item: UndoItem) -> str:
    return NOTHING if item.kind in (Kind.CREATED, Kind.REMOVED) else plain(item.new)


def _gets(item: UndoItem) -> str:
    if item.kind == Kind.CREATED:
        return _("is removed here")
    if item.kind == Kind.REMOVED:
        return _("is here again")
    if item.facts.get("born"):
        return _("what the earlier mapping makes of the CRM's value")
    if item.kind == Kind.SENT and not item.facts.get("known"):
        return _("ours, by the earlier mapping")
    return plain(item.old)


# --- the file -------------------------------------------------------------------------------------------------------


class _Echo:
    def write(self, line: str) -> str:
        return line


def csv_lines(undo: Undo, scope: tenancy.Scope | None) -> Iterator[str]:
    """Every value with what became of it. The answer is sent after the request's own scope has ended, so it brings it along."""
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    after = 0
    while True:
        with tenancy.entered(scope):
            items = list(UndoItem.objects.filter(undo=undo, pk__gt=after).order_by("pk")[:AT_ONCE])
            names = _Names(items)
        for one in items:
            yield writer.writerow([safe_cell(cell) for cell in _cells(one, names)])
        if len(items) < AT_ONCE:
            return
        after = items[-1].pk


def _cells(item: UndoItem, names: _Names) -> list[object]:
    return [
        names.text(item), item.contact_id, item.get_kind_display(), field_name(item.field), item.path, _cell(item.old),
        _cell(item.new), _cell(item.found), item.who, item.changed_at.isoformat() if item.changed_at else "",
        item.get_state_display(), item.get_reason_display() if item.reason else "",
    ]  # fmt: skip


def _cell(value: Any) -> str:
    return "" if value is None else plain(value)
