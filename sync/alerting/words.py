"""What is said of an alert, made of its kind and facts whenever it is shown or sent, in the language and time zone of that moment.

Everywhere the same parts: what is wrong, what that means, and what to press.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse
from django.utils import formats, timezone, translation
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.admin_html import page_url
from integrations.models import CrmConnection
from integrations.transport.usage import zone_of
from sync.job_words import cause_name
from sync.models import Alert, AlertDelivery, AlertKind, SyncJob, WorkerBeat

Facts = Mapping[str, Any]
CHANGE = "integrations.change_crmconnection"


@dataclass(frozen=True, slots=True)
class Said:
    """`what` is one line; `means` and `help` are sentences."""

    what: str
    means: str
    help: str


@dataclass(frozen=True, slots=True)
class Step:
    """A button: what to do next, and the permission that it takes."""

    words: str
    url: str
    permission: str


@dataclass(frozen=True, slots=True)
class Letter:
    subject: str
    text: str


# --- what is wrong ----------------------------------------------------------------------------------------------------


def _error_rate(facts: Facts) -> Said:
    told = {"percent": f"{facts['percent']:g}", "failed": facts["failed"], "ended": facts["ended"]}
    what = _("%(percent)s %% of the work of the last hour failed: %(failed)s of %(ended)s") % told
    cause = (
        _("Most of it has the cause “%(cause)s”. ") % {"cause": cause_name(facts["cause"])}
        if facts.get("cause")
        else ""
    )
    means = _("What failed lies aside; nothing is lost, but it is not in the CRM or not here.")
    return Said(what, cause + means, _("Look at what failed, see to its cause, then try all of it again."))


def _latency(facts: Facts) -> Said:
    oldest = moment(facts["oldest"])
    what = _("Calls, edits or events have been waiting since %(time)s") % {"time": oldest}
    means = ngettext(
        "%(count)s waits, the oldest for more than %(limit)s minutes. What changes on one side is late on the other.",
        "%(count)s wait, the oldest for more than %(limit)s minutes. What changes on one side is late on the other.",
        facts["waiting"],
    ) % {"count": f"{facts['waiting']:,}", "limit": facts["limit"]}
    help_ = _(
        "See what waits and why: each job says what it waits for. If none is tried, the workers have too much to do."
    )
    return Said(what, means, help_)


def _breaker(facts: Facts) -> Said:
    what = _("The CRM keeps failing")
    error = f" {facts['error']}" if facts.get("error") else ""
    means = _(
        "%(count)s requests in a row failed, so only one a minute is sent until one succeeds. Work waits meanwhile."
    )
    help_ = _("It goes on by itself when the CRM answers again. Test the connection to see what it says now.")
    return Said(what, means % {"count": facts["failures"]} + error, help_)


def _queue(facts: Facts) -> Said:
    told = {"count": f"{facts['waiting']:,}", "limit": f"{facts['limit']:,}"}
    what = _("%(count)s calls, edits and events wait") % told
    means = _("More than the %(limit)s that are usual here. They are done in their order, calls first.") % told
    help_ = _("See what waits. If it grows, the CRM's limits or the number of workers are too small for what arrives.")
    return Said(what, means, help_)


def _reconnect(facts: Facts) -> Said:
    what = _("The CRM no longer accepts our access")
    reason = facts.get("reason") or _("The CRM gave no reason.")
    means = _("Nothing is read or written until somebody connects it again. Calls are kept and logged afterwards.")
    return Said(what, f"{reason} {means}", _("Connect it again, as somebody who may do so in the CRM."))


def _stale(facts: Facts) -> Said:
    if facts.get("read_at"):
        what = _("Nothing was read since %(time)s") % {"time": moment(facts["read_at"])}
    else:
        what = _("Nothing was read yet, since it was connected at %(time)s") % {"time": moment(facts["since"])}
    means = _(
        "Changes in the CRM are not seen here. It is asked every few minutes, and the last %(limit)s brought nothing."
    )
    help_ = _("Sync it now, and see whether the run goes through. If it does not start, no worker is running.")
    return Said(what, means % {"limit": _minutes(facts["limit"])}, help_)


def _workers(facts: Facts) -> Said:
    what = _("No worker is alive")
    last = _("The last sign of life came at %(time)s.") % {"time": moment(facts["last"])} if facts.get("last") else ""
    means = _("Nothing is read or written, for no tenant. What arrives is kept.")
    return Said(what, f"{last} {means}".strip(), _("Start manage.py qcluster, and see in its log why it ended."))


SAYS: Mapping[str, Callable[[Facts], Said]] = {
    AlertKind.ERROR_RATE: _error_rate,
    AlertKind.LATENCY: _latency,
    AlertKind.BREAKER: _breaker,
    AlertKind.QUEUE: _queue,
    AlertKind.RECONNECT: _reconnect,
    AlertKind.STALE: _stale,
    AlertKind.WORKERS: _workers,
}


def say(alert: Alert) -> Said:
    return SAYS[alert.kind](alert.facts)


def where(alert: Alert) -> str:
    """The connection, or the whole site."""
    row = alert.connection
    if row is None:
        return _("The whole site")
    account = row.account_name or row.account_id
    crm: str = row.get_provider_display()
    return f"{crm} · {account}" if account else crm


def moment(text: str) -> str:
    """A stored time, for people."""
    return _time(parse_datetime(text))


def _time(at: datetime | None) -> str:
    return formats.date_format(timezone.localtime(at), "SHORT_DATETIME_FORMAT") if at else ""


def _minutes(count: int) -> str:
    return ngettext("%(count)s minute", "%(count)s minutes", count) % {"count": count}


# --- what to press ----------------------------------------------------------------------------------------------------


def step(alert: Alert) -> Step:
    """What helps most against this kind."""
    row = alert.connection
    if row is None:
        return Step(_("See the workers"), page_url(WorkerBeat, "changelist"), "sync.view_workerbeat")
    if alert.kind == AlertKind.RECONNECT:
        from integrations.admin_connecting import again

        return Step(_("Connect again"), page_url(CrmConnection, "add", **again(row)), CHANGE)
    if alert.kind == AlertKind.BREAKER:
        return Step(_("Test connection"), page_url(row, "test"), CHANGE)
    if alert.kind == AlertKind.STALE:
        return Step(_("Sync now"), page_url(row, "sync_now"), CHANGE)
    if alert.kind == AlertKind.ERROR_RATE:
        return Step(_("See what failed"), failures_url(row), "sync.view_syncjob")
    waiting = page_url(SyncJob, "changelist", state__exact="ready", connection__id__exact=row.pk)
    return Step(_("See what waits"), waiting, "sync.view_syncjob")


def failures_url(row: CrmConnection | None = None) -> str:
    """The failures by cause where there is such a page, else their list; of one connection or of all."""
    try:
        causes = reverse("admin:sync_syncjob_causes")
    except NoReverseMatch:
        of_one = {"connection__id__exact": row.pk} if row else {}
        return page_url(SyncJob, "changelist", state__exact="dead", **of_one)
    return f"{causes}?tenant={row.tenant_id}" if row else causes


# --- messages ---------------------------------------------------------------------------------------------------------


def letter(alert: Alert, event: str) -> Letter:
    """The e-mail, in the site's language and the tenant's time zone."""
    zone = alert.tenant.timezone if alert.tenant else settings.TIME_ZONE
    with translation.override(settings.LANGUAGE_CODE), timezone.override(zone_of(zone)):
        said, to_do = say(alert), step(alert)
        place = f"{alert.tenant}, {where(alert)}" if alert.tenant else where(alert)
        over = event == AlertDelivery.Event.RESOLVED
        begin = _("Over: %(what)s") if over else _("Alert: %(what)s")
        heading = f"{begin % {'what': said.what}} ({place})"
        lines = [
            heading,
            "",
            *(_ended(alert) if over else [said.means, said.help, "", f"{to_do.words}: {absolute(to_do.url)}"]),
            "",
            _("Open since: %(time)s (%(zone)s)") % {"time": _time(alert.opened_at), "zone": zone},
            _("Everything about it: %(url)s") % {"url": absolute(page_url(alert))},
            _("Who hears of what: %(url)s") % {"url": absolute(reverse("admin:sync_alertsettings_own"))},
        ]
        return Letter(f"[Dialbridge] {heading}", "\n".join(lines) + "\n")


def _ended(alert: Alert) -> list[str]:
    lines = [_("It is over since %(time)s.") % {"time": _time(alert.resolved_at)}]
    if alert.connection is not None:
        lines.append(_("The connection is now: %(state)s.") % {"state": alert.connection.get_status_display()})
    return lines


def message(alert: Alert, event: str) -> dict[str, object]:
    """What the webhook gets, in English: kind and facts are for programs."""
    with translation.override("en"), timezone.override(timezone.get_default_timezone()):
        said, to_do = say(alert), step(alert)
        data = {
            "id": str(alert.pk),
            "kind": alert.kind,
            "severity": alert.severity,
            "tenant": alert.tenant.slug if alert.tenant else None,
            "connection": str(alert.connection_id) if alert.connection_id else None,
            "provider": alert.connection.provider if alert.connection else None,
            "opened_at": alert.opened_at.isoformat() if alert.opened_at else None,
            "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
            "what": said.what,
            "means": said.means,
            "help": said.help,
            "next_step": {"words": to_do.words, "url": absolute(to_do.url)},
            "url": absolute(page_url(alert)),
            "facts": alert.facts,
        }
        return {"type": f"alert.{event}", "timestamp": timezone.now().isoformat(), "data": data}


def absolute(path: str) -> str:
    return f"{settings.PUBLIC_URL}{path}"
