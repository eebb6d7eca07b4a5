"""What a rehearsal's page shows below its facts: outcomes, fields, samples, what it costs, and the draft itself."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.admin_base import Panel
from integrations.admin_html import NOTHING, badge, link, page_link, page_url, plain, progress
from integrations.models import CrmConnection
from integrations.registry import provider_class
from mapping.fields import field_name
from mapping.models import FieldMapping, Strategy
from mapping.transforms import TRANSFORMS
from sync.drafts import Candidate
from sync.models import Contact, Rehearsal
from sync.promoting import IDS_AT_ONCE

DIRECTIONS = dict(FieldMapping.Direction.choices)
TRIED = (Rehearsal.Status.READY, Rehearsal.Status.PROMOTED)


def panels_of(rehearsal: Rehearsal, *, may_edit: bool) -> list[Panel]:
    drafting = rehearsal.status == Rehearsal.Status.DRAFT
    results = [] if rehearsal.status not in TRIED else _results(rehearsal)
    return [*results, rows_panel(rehearsal, may_edit=may_edit and drafting), *_policy(rehearsal)]


def _results(rehearsal: Rehearsal) -> list[Panel]:
    contacts = _contacts(rehearsal)
    samples = [_samples(field, rows, contacts) for field, rows in sorted(rehearsal.samples.items()) if rows]
    problems = [_problems(rehearsal)] if rehearsal.problems else []
    return [_outcomes(rehearsal), _fields(rehearsal), *problems, _cost(rehearsal), *samples]


def _outcomes(rehearsal: Rehearsal) -> Panel:
    counts = rehearsal.counts
    words = [
        (_("would change"), counts.get("updated", 0)),
        (_("would stay as they are"), counts.get("unchanged", 0)),
        (_("have a conflict that a rule decides"), counts.get("conflicts", 0) - counts.get("open", 0)),
        (_("have a conflict that waits for a person"), counts.get("open", 0)),
        (_("have a value that can't be taken over"), counts.get("errored", 0)),
        (_("are not known well enough to say"), rehearsal.cost.get("reads", 0)),
    ]
    rows = [[name, f"{count:,}", _bar(count, rehearsal.done, name)] for name, count in words]
    return Panel(
        _("What would become of the records"), [_("Records that"), _("Number"), _("Share")], rows, _("Nothing was tried yet.")
    )  # fmt: skip


def _bar(count: int, of: int, name: str) -> SafeString | str:
    return progress(count, of, name) if of else NOTHING


def _fields(rehearsal: Rehearsal) -> Panel:
    headers = [
        _("Dialer field"), _("Would change here"), _("Conflicts"), _("Left to a person"), _("Not usable"),
        _("Written to the CRM"),
    ]  # fmt: skip
    names = ("changed", "conflicts", "open", "errored", "written")
    rows = [
        [field_name(field), *(f"{counts.get(name, 0):,}" for name in names)]
        for field, counts in sorted(rehearsal.by_field.items())
    ]
    return Panel(_("By field"), headers, rows, _("No field would change for anybody."))


def _problems(rehearsal: Rehearsal) -> Panel:
    found = sorted(rehearsal.problems.items(), key=lambda one: -one[1])
    return Panel(
        _("Values that can't be taken over"),
        [_("Why"), _("Records")],
        [[why, f"{count:,}"] for why, count in found],
        "",
    )


def _cost(rehearsal: Rehearsal) -> Panel:
    """In words, one line for each CRM that would be asked or told something."""
    known = {str(one.pk): one for one in CrmConnection.objects.filter(tenant_id=rehearsal.tenant_id)}
    lines: list[list[object]] = []
    reads = rehearsal.cost.get("reads", 0)
    if reads:
        lines.append([_("Reading"), _reading(reads)])
    for key, count in rehearsal.cost.items():
        if key in known:
            lines.append([known[key].get_provider_display(), _writing(known[key], count)])
    empty = _("Nothing: no CRM would be asked or told anything.")
    return Panel(_("What it would cost in requests"), [_("Where"), _("Cost")], lines, empty)


def _reading(records: int) -> str:
    requests = -(-records // IDS_AT_ONCE)
    text = ngettext(
        "%(count)s record would have to be read, since too little of it is known here: about %(requests)s request(s).",
        "%(count)s records would have to be read, since too little of them is known here: about %(requests)s request(s).",
        records,
    )
    return text % {"count": f"{records:,}", "requests": f"{requests:,}"}


def _writing(connection: CrmConnection, records: int) -> str:
    size = provider_class(connection.provider).write_batch_size
    text = ngettext(
        "%(count)s record would be written, in about %(requests)s request(s) of up to %(size)s.",
        "%(count)s records would be written, in about %(requests)s request(s) of up to %(size)s.",
        records,
    )
    return text % {"count": f"{records:,}", "requests": f"{-(-records // size):,}", "size": size}


def _contacts(rehearsal: Rehearsal) -> dict[str, Contact]:
    ids = {UUID(one["contact"]) for rows in rehearsal.samples.values() for one in rows}
    return {str(pk): contact for pk, contact in Contact.objects.in_bulk(list(ids)).items()}


def _samples(field: str, samples: Iterable[dict[str, Any]], contacts: dict[str, Contact]) -> Panel:
    headers = [_("Contact"), _("Before"), _("After"), _("In the CRM"), _("Decided by")]
    rows = [
        [
            page_link(contacts[one["contact"]]) if one["contact"] in contacts else NOTHING,
            plain(one["before"]),
            badge(_("A person decides"), "bad") if one["open"] else plain(one["after"]),
            plain(one["crm"]),
            _rule(one["rule"]),
        ]
        for one in samples
    ]
    return Panel(_("Examples: %(field)s") % {"field": field_name(field)}, headers, rows, "")


def _rule(name: str) -> str:
    return str(Strategy(name).label) if name in Strategy.values else _("only the CRM changed it")


# --- the draft ------------------------------------------------------------------------------------------------------


def rows_panel(rehearsal: Rehearsal, *, may_edit: bool) -> Panel:
    """The draft's rows, each compared with what is in force."""
    headers = [
        _("Dialer field"),
        _("Direction"),
        _("CRM field"),
        _("Transform"),
        _("On conflict"),
        _("Compared with now"),
    ]
    before = {row["dialer_field"]: row for row in _in_force(rehearsal)}
    rows = [_row(rehearsal, row, before.get(row["dialer_field"]), may_edit=may_edit) for row in rehearsal.rows]
    kept = {row["dialer_field"] for row in rehearsal.rows}
    gone = [row for field, row in before.items() if field not in kept]
    rows += [[*_cells(row), badge(_("Removed"), "bad"), *([""] if may_edit else [])] for row in gone]
    return Panel(
        _("Rows of the draft"), [*headers, *([_("Edit")] if may_edit else [])], rows, _("The draft has no rows.")
    )


def _in_force(rehearsal: Rehearsal) -> Sequence[Any]:
    return Candidate(rehearsal).basis.rows.get(rehearsal.connection.provider, ())


def _row(rehearsal: Rehearsal, row: dict[str, Any], was: Any, *, may_edit: bool) -> list[object]:
    if was is None:
        state: object = badge(_("New"), "good")
    else:
        state = _("the same") if was == row else badge(_("Changed"), "warning")
    ways: list[object] = []
    if may_edit:
        field = row["dialer_field"]
        change = link(page_url(rehearsal, "change_row", field=field), _("Change"))
        ways = [format_html("{} {}", change, link(page_url(rehearsal, "remove_row", field=field), _("Remove")))]
    return [*_cells(row), state, *ways]


def _cells(row: dict[str, Any]) -> list[object]:
    transform = row.get("transform", "none")
    strategy = row.get("strategy") or ""
    return [
        field_name(row["dialer_field"]),
        DIRECTIONS.get(row.get("direction", ""), NOTHING),
        row.get("crm_field"),
        NOTHING if transform == "none" else str(TRANSFORMS[transform].label) if transform in TRANSFORMS else transform,
        Strategy(strategy).label if strategy in Strategy.values else _("as the policy says"),
    ]


def _policy(rehearsal: Rehearsal) -> list[Panel]:
    if rehearsal.policy is None:
        return []
    held = rehearsal.policy
    rows: list[list[object]] = [[_("unless said otherwise"), Strategy(held["default"]).label]]
    rows += [[field_name(field), Strategy(name).label] for field, name in sorted(held["overrides"].items())]
    return [Panel(_("Conflict policy of the draft"), [_("Field"), _("On conflict")], rows, "")]
