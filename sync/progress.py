"""How far background work is, for people: a state in words, numbers, the speed, and about how long the rest takes.

The speed is that of the whole run so far. What waits or is paused has none, and what doesn't know its end tells no rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync.models import SyncRun

LEVELS: Mapping[str, str] = {"running": "info", "done": "good", "failed": "bad", "paused": "warning"}
"""State of a run → the colour of its words."""
EVERY = 2
"""Seconds between two looks of a page at work that is going on."""
SHORTEST = 1.0
"""Seconds after which a speed means something."""
SPOKEN_STEPS = 10
"""Percent between two announcements to somebody who listens to the page."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One piece of work. `expected` is None when nobody knows the end; `rate` is records a minute."""

    label: str
    state: str
    level: str = "info"
    done: int = 0
    expected: int | None = None
    rate: float | None = None
    running: bool = False
    problem: str = ""

    @property
    def whole(self) -> int | None:
        """The end of the bar: records may be added while a run goes on."""
        return max(self.expected, self.done) if self.expected else None

    @property
    def percent(self) -> int | None:
        return int(100 * self.done / self.whole) if self.whole else None

    @property
    def numbers(self) -> str:
        """The records that are done, of how many, how fast and how long it still takes, as far as that is known."""
        if not self.whole and not self.done:
            return ""
        words = (
            _("%(done)s of %(expected)s") % {"done": f"{self.done:,}", "expected": f"{self.whole:,}"}
            if self.whole
            else _("%(done)s so far") % {"done": f"{self.done:,}"}
            if self.running
            else f"{self.done:,}"
        )
        return " · ".join(one for one in (words, self.speed, self.rest) if one)

    @property
    def speed(self) -> str:
        return _("%(rate)s a minute") % {"rate": f"{self.rate:,.0f}"} if self.rate else ""

    @property
    def rest(self) -> str:
        if not (self.running and self.rate and self.whole) or self.done >= self.whole:
            return ""
        return about(60 * (self.whole - self.done) / self.rate)

    @property
    def spoken(self) -> str:
        """For screen readers: it changes with the state and every ten percent, not with every record."""
        if self.percent is None or not self.running:
            return f"{self.label}: {self.state}"
        reached = self.percent // SPOKEN_STEPS * SPOKEN_STEPS
        return _("%(label)s: %(state)s, %(percent)d percent") % {
            "label": self.label,
            "state": self.state,
            "percent": reached,
        }


def done(run: SyncRun) -> int:
    """Records of a run that need nothing more."""
    return run.created + run.updated + run.unchanged + run.skipped


def of_run(run: SyncRun, label: str = "", now: datetime | None = None) -> Progress:
    return Progress(
        label=label or str(run),
        state=run.get_status_display(),
        level=LEVELS.get(run.status, "muted"),
        done=done(run),
        expected=run.expected,
        rate=rate(run, now or timezone.now()),
        running=run.status == SyncRun.Status.RUNNING,
        problem=run.error,
    )


def rate(run: SyncRun, now: datetime) -> float | None:
    """Records a minute; None while that says nothing."""
    if run.status == SyncRun.Status.PAUSED:
        return None
    seconds = ((run.finished_at or now) - run.started_at).total_seconds()
    return 60 * done(run) / seconds if seconds >= SHORTEST and done(run) else None


def about(seconds: float) -> str:
    """A rest in words that promise no more than is known."""
    if seconds < 60:
        return _("less than a minute left")
    if seconds < 90 * 60:
        minutes = round(seconds / 60)
        return ngettext("about %(count)d minute left", "about %(count)d minutes left", minutes) % {"count": minutes}
    hours = round(seconds / 3600)
    return ngettext("about %(count)d hour left", "about %(count)d hours left", hours) % {"count": hours}
