"""Replaying a window of the inbox: the form that names it, what replaying would change, and the last replays."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations.admin_base import (
    SECRET_COLUMNS,
    Panel,
    sees_several,
)
from integrations.admin_forms import Select, TextInput
from integrations.admin_html import (
    NOTHING,
    ago,
    bullets,
    page_link,
    plain,
    progress,
    zone_name,
)
from integrations.models import CrmConnection
from mapping.fields import field_name
from sync import replaying
from sync.admin.jobs import JOB_STATE
from sync.models import SyncJob
from sync.replay_diff import Changed, Diff
from sync.replaying import Window

SHOWN = 100
LAST_REPLAYS = 10

ABOUT = gettext_lazy(
    "Every record that the CRM told of in the window is read afresh and compared with what is here. Nothing is changed before "
    "you have seen what would be."
)


class WindowForm(forms.Form):
    connection = forms.ChoiceField(label=gettext_lazy("connection"), widget=Select)
    since = forms.DateTimeField(
        label=gettext_lazy("from"), widget=TextInput(attrs={"type": "datetime-local", "step": "1"})
    )
    until = forms.DateTimeField(
        label=gettext_lazy("to"), widget=TextInput(attrs={"type": "datetime-local", "step": "1"})
    )
    object_type = forms.CharField(
        label=gettext_lazy("CRM object"),
        required=False,
        max_length=100,
        widget=TextInput,
        help_text=gettext_lazy("Such as Lead; empty: all that are kept here."),
    )

    def __init__(self, data: Any = None) -> None:
        now = timezone.localtime().replace(second=0, microsecond=0) + timedelta(minutes=1)
        super().__init__(data, initial={"since": _local(now - timedelta(days=1)), "until": _local(now)})
        for name in ("since", "until"):
            words = {"moment": self.fields[name].label, "zone": zone_name()}
            self.fields[name].label = _("%(moment)s (%(zone)s)") % words
        rows = CrmConnection.objects.exclude(status=CrmConnection.Status.DISCONNECTED).defer(*SECRET_COLUMNS)
        if data is None:  # only offered
            rows = rows.only("tenant__name", "provider", "account_name", "account_id")
        self.rows = {str(row.pk): row for row in rows.select_related("tenant").order_by("tenant__name", "provider")}
        field: Any = self.fields["connection"]
        field.choices = [(key, _label(row)) for key, row in self.rows.items()]

    def clean(self) -> dict[str, Any]:
        found = self.cleaned_data
        if found.get("since") and found.get("until") and found["since"] >= found["until"]:
            self.add_error("until", _("The end has to be later than the beginning."))
        if found.get("connection") and not self._window(found).object_types:
            known = ", ".join(Window(self.rows[found["connection"]], timezone.now(), timezone.now()).object_types)
            self.add_error("object_type", _("There is no such object here. Known are: %(known)s.") % {"known": known})
        return found

    def window(self) -> Window:
        return self._window(self.cleaned_data)

    def _window(self, found: Mapping[str, Any]) -> Window:
        now = timezone.now()
        row = self.rows[found["connection"]]
        return Window(row, found.get("since") or now, found.get("until") or now, found.get("object_type", ""))


def _local(moment: Any) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}"


def _label(row: CrmConnection) -> str:
    return f"{row.tenant}: {row}" if sees_several() else str(row)


# --- what is shown --------------------------------------------------------------------------------------------------


def lines_of(diff: Diff) -> list[str]:
    lines = [
        _("%(events)s events of this window name %(records)s records.")
        % {"events": f"{diff.events:,}", "records": f"{diff.records:,}"}
    ]
    if diff.is_sample:
        lines.append(
            _("%(count)s of them, chosen at random, were compared. Replaying works all of them.")
            % {"count": f"{diff.compared:,}"}
        )
    if diff.is_empty:
        lines.append(_("Nothing would change: all of it is here already."))
    if diff.pushes:
        text = ngettext(
            "%(count)d contact would then be looked at for what a CRM has to get.",
            "%(count)d contacts would then be looked at for what a CRM has to get.",
            diff.pushes,
        )
        lines.append(text % {"count": diff.pushes})
    return lines


def panels_of(diff: Diff) -> Iterator[Panel]:
    """A table for each kind of change that there is."""
    fields = [_("Record"), _("Contact"), _("Field"), _("Now"), _("Then"), _("Rule")]
    both = [_("Record"), _("Contact"), _("Field"), _("Dialer"), "CRM", _("Decided by")]
    tables: list[tuple[str, Sequence[str], list[list[object]]]] = [
        (_("Fields that would change"), fields, [_changed(one) for one in diff.changed]),
        (_("Fields that both sides changed"), both, [_conflict(one) for one in diff.conflicts]),
        (_("Contacts that would be made"), [_("Record"), _("Values")], [[*_made(*one)] for one in diff.created.items()]),
        (_("Records that would be marked"), [_("Record"), _("As")], [[key, ", ".join(one)] for key, one in diff.gone.items()]),
        (_("Not found in the CRM"), [_("Record")], [[name] for name in diff.missing]),
        (_("Can't be taken over"), [_("Record"), _("Problem")], [[*one] for one in diff.failed.items()]),
    ]  # fmt: skip
    for title, headers, rows in tables:
        if rows:
            counted = f"{title} ({len(rows):,})" if len(rows) <= SHOWN else _cut(title, len(rows))
            yield Panel(counted, headers, rows[:SHOWN], "")


def _cut(title: str, count: int) -> str:
    return _("%(title)s (%(count)s, the first %(shown)s)") % {"title": title, "count": f"{count:,}", "shown": SHOWN}


def _changed(one: Changed) -> list[object]:
    return [one.record, one.contact, field_name(one.field), plain(one.before), plain(one.after), one.rule]


def _conflict(one: Changed) -> list[object]:
    ruled = _("a person") if one.open else one.rule
    return [one.record, one.contact, field_name(one.field), plain(one.before), plain(one.after), ruled]


def _made(name: str, values: Mapping[str, Any]) -> tuple[str, str]:
    shown = {field: value for field, value in values.items() if value not in ("", None, False)}
    return name, bullets(f"{field_name(field)}: {plain(value)}" for field, value in shown.items())


def last_replays() -> Panel:
    jobs = SyncJob.objects.filter(kind=replaying.KIND).select_related("connection", "tenant").order_by("-pk")
    hidden = [f"connection__{name}" for name in SECRET_COLUMNS]
    rows = [
        [
            page_link(job, f"#{job.pk}"),
            _label(job.connection) if job.connection else NOTHING,
            JOB_STATE(job),
            progress(job.payload.get("done", 0), job.payload.get("total"), _("Events worked")),
            ago(job.created_at),
        ]
        for job in jobs.defer(*hidden)[:LAST_REPLAYS]
    ]
    headers = [_("Job"), _("Connection"), _("State"), _("Events"), _("Asked for")]
    return Panel(_("Last replays"), headers, rows, _("No window was replayed yet."))
