"""Where the set-up of a connection stands: six steps, worked out from what is in the database.

Nothing is kept of the wizard itself, so it goes on from any browser, by anybody who may, and also after days. A step is done,
being worked on, failed, waiting for a person, or for an earlier step.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from integrations.models import CrmConnection
from integrations.records.connections import Severity
from integrations.registry import provider_class
from sync import pulling
from sync.models import SyncRun
from sync.wizard_facts import Facts
from sync.wizard_jobs import LOOK, POLLS, PREPARE

STEPS = ("connect", "check", "objects", "fields", "mapping", "load")
TITLES: Mapping[str, Any] = {
    "connect": gettext_lazy("Connect"),
    "check": gettext_lazy("Account and permissions"),
    "objects": gettext_lazy("What is synced"),
    "fields": gettext_lazy("Fields"),
    "mapping": gettext_lazy("Field mapping"),
    "load": gettext_lazy("First load"),
}


class State(StrEnum):
    DONE = "done"
    WORKING = "working"
    FAILED = "failed"
    NOW = "now"
    """A person's turn."""
    ATTENTION = "attention"
    """A person should do something, though the later steps work without."""
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Step:
    key: str
    state: State
    words: str
    """How it stands, in a sentence."""

    @property
    def title(self) -> str:
        return str(TITLES[self.key])

    @property
    def number(self) -> int:
        return STEPS.index(self.key) + 1


class Setup(Facts):
    """One connection's set-up: how each step stands, and whose turn it is."""

    @cached_property
    def steps(self) -> list[Step]:
        return [Step(key, *getattr(self, f"_{key}")()) for key in STEPS]

    @cached_property
    def current(self) -> str:
        """The step that a person should look at; empty when all is done."""
        return next((one.key for one in self.steps if one.state not in (State.DONE, State.LATER)), "")

    @property
    def finished(self) -> bool:
        return self.state_of("load") == State.DONE

    @property
    def working(self) -> bool:
        """Whether something goes on by itself, so that it is worth looking again."""
        return any(one.state == State.WORKING for one in self.steps)

    def state_of(self, key: str) -> State:
        return next(one.state for one in self.steps if one.key == key)

    def _connect(self) -> tuple[State, str]:
        row = self.row
        if row.status in {CrmConnection.Status.CONNECTED, CrmConnection.Status.PAUSED}:
            return State.DONE, _("Connected to %(account)s") % {"account": row.account_name or row.account_id}
        return State.ATTENTION, row.status_reason or row.get_status_display()

    def _check(self) -> tuple[State, str]:
        work = self.work(LOOK, PREPARE)
        if work.active:
            return State.WORKING, work.problem or _("We ask the CRM what we may do, and which fields it has")
        if work.problem or self.report.problem:
            return State.FAILED, work.problem or self.report.problem
        if self.report.checked_at is None:
            return (State.NOW if self._connect()[0] == State.DONE else State.LATER), _("Not checked yet")
        blocking = sum(1 for one in self.gaps if one.finding.severity == Severity.BLOCKING)
        if blocking:
            words = ngettext("%(count)d thing stands in the way", "%(count)d things stand in the way", blocking)
            return State.ATTENTION, words % {"count": blocking}
        if not self.gaps:
            return State.DONE, _("All permissions are there")
        words = ngettext("It works; %(count)d thing could be better", "It works; %(count)d things could be better",
                         len(self.gaps))  # fmt: skip
        return State.DONE, words % {"count": len(self.gaps)}

    def _objects(self) -> tuple[State, str]:
        if self.discovered:
            return State.DONE, ", ".join(self.provider.person_types)
        if self.work(LOOK, PREPARE).active:
            return State.WORKING, _("We ask the CRM what it has")
        return State.LATER, _("Comes with the check")

    def _fields(self) -> tuple[State, str]:
        if not self.discovered:
            return State.LATER, _("Comes after the check")
        work, count = self.work(PREPARE), len(self.missing)
        if work.active:
            return State.WORKING, work.problem or _("We set the account up")
        if work.problem:
            return State.FAILED, work.problem
        found = sum(one.fields for one in self.objects)
        known = ngettext("%(count)d field found", "%(count)d fields found", found) % {"count": found}
        if not self.prepared_at and not self.loaded:
            wanting = ngettext("%(count)d is missing", "%(count)d are missing", count) % {"count": count}
            return State.NOW, f"{known}, {wanting}" if count else known
        if count:
            words = ngettext("%(count)d could not be created", "%(count)d could not be created", count)
            return State.DONE, f"{known}, " + words % {"count": count}
        return State.DONE, known

    def _mapping(self) -> tuple[State, str]:
        if self.version:
            count = len(self.version.rows)
            words = ngettext("%(count)d field is kept the same", "%(count)d fields are kept the same", count)
            return State.DONE, words % {"count": count}
        return (
            (State.NOW, _("There is no mapping yet")) if self.discovered else (State.LATER, _("Comes after the fields"))
        )

    def _load(self) -> tuple[State, str]:
        if self.loaded >= set(self.provider.person_types):
            return State.DONE, _("Everything was read; changes follow by themselves")
        if any(one.status == SyncRun.Status.PAUSED for one in self.runs.values()):
            return State.NOW, _("Paused")
        work = self.work(pulling.KIND)
        if work.active:
            return State.WORKING, work.problem or _("Contacts are coming in")
        failed = next((one for one in self.runs.values() if one.status == SyncRun.Status.FAILED), None)
        if work.problem or failed:
            return State.FAILED, work.problem or (failed.error if failed else "")
        if self.version and self._fields()[0] == State.DONE:
            return State.NOW, _("Ready to start")
        return State.LATER, _("Comes at the end")


def is_unfinished(row: CrmConnection, feeds: Iterable[str]) -> bool:
    """Whether the wizard has something left to do for a living connection, of which these feeds were read to the end."""
    if row.status == CrmConnection.Status.DISCONNECTED:
        return False
    return not {POLLS + name for name in provider_class(row.provider).person_types} <= set(feeds)
