"""What the pages of causes show: cards, the bars of a day, what came before, samples, how far trying again is."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils import formats, timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.admin_base import Panel, sees_several
from integrations.admin_html import NOTHING, ago, code, link, page_link, page_url
from integrations.models import Tenant
from integrations.registry import provider_label
from sync.admin.causes.places import button_of
from sync.admin.jobs import about, name_records, table_of
from sync.causes import retrying
from sync.causes import words as causes_words
from sync.causes.before import Event
from sync.causes.counting import HOURS, Pile, Share
from sync.causes.letters import letter
from sync.causes.retrying import Progress
from sync.models import FailureAction, FailureCause, InboxEvent, SyncJob

SAMPLES = 10
ACTIONS = 10
BAR_WIDTH, BAR_GAP, BARS_HEIGHT = 8, 2, 40


def address(page: str, fingerprint: str = "", tenant: Tenant | None = None, **more: object) -> str:
    """Of a page of causes; of one cause, and of a tenant's share of it."""
    own: dict[str, object] = {"tenant": tenant.pk} if tenant else {}
    query = {**({"of": fingerprint} if fingerprint else {}), **own, **more}
    asked = urlencode({key: str(value) for key, value in query.items()})
    return reverse(f"admin:sync_syncjob_{page}") + (f"?{asked}" if asked else "")


def card(pile: Pile, events: Sequence[Event]) -> dict[str, Any]:
    cause = pile.cause
    return {
        "title": causes_words.title(cause),
        "crm": provider_label(cause.provider),
        "count": counted(pile),
        "tenants": tenants_of(pile) if sees_several() else "",
        "first_seen": ago(pile.first_seen),
        "last_seen": ago(pile.last_seen),
        "bars": bars(pile),
        "before": events[0] if events else None,
        "before_when": ago(events[0].at) if events else "",
        "advice": causes_words.advice(cause),
        "url": address("cause", cause.fingerprint),
        "code": cause.code if not cause.code.isdigit() else "",
        "level": "muted" if pile.for_good or pile.is_snoozed else "bad",
        "snoozed": snoozed(pile),
        "fingerprint": cause.fingerprint,
    }


def snoozed(pile: Pile) -> str:
    """Until when it is silenced, and by whom; empty while it is not."""
    if not pile.is_snoozed:
        return ""
    causes = [one.cause for one in pile.shares]
    first = min((one.snoozed_until for one in causes if one.snoozed_until), default=None)
    by = ", ".join(sorted({one.snoozed_by for one in causes}))
    if first is None:
        return _("Silenced until more of it fails, by %(by)s") % {"by": by}
    until = formats.date_format(timezone.localtime(first), "DATETIME_FORMAT")
    return _("Silenced until %(until)s, by %(by)s") % {"until": until, "by": by}


def counted(pile: Pile) -> str:
    """How much it is, in words."""
    count = pile.count
    number = _("more than %(count)s") % {"count": f"{count:,}"} if pile.is_more else f"{count:,}"
    if pile.events:
        return ngettext("%(count)s event of the CRM", "%(count)s events of the CRM", count) % {"count": number}
    return ngettext("%(count)s failed piece of work", "%(count)s failed pieces of work", count) % {"count": number}


def tenants_of(pile: Pile) -> str:
    """The first three by name, and how many others."""
    names = [share.tenant.name for share in pile.shares]
    others = len(names) - 3
    if others <= 0:
        return ", ".join(names)
    words = ngettext("%(names)s and %(count)d more", "%(names)s and %(count)d more", others)
    return words % {"names": ", ".join(names[:3]), "count": others}


def bars(pile: Pile) -> dict[str, Any]:
    """A chart of the last day, with the same in words."""
    most = max(pile.trend)
    step = BAR_WIDTH + BAR_GAP
    return {
        "width": HOURS * step,
        "height": BARS_HEIGHT,
        "bars": [
            {"x": place * step, "y": BARS_HEIGHT - height, "width": BAR_WIDTH, "height": height, "none": not failures}
            for place, failures in enumerate(pile.trend)
            for height in [max(2, round(failures / most * BARS_HEIGHT)) if failures else 1]
        ],
        "words": ngettext(
            "%(day)s failure in the last 24 hours",
            "%(day)s failures in the last 24 hours, at most %(most)s in one hour, %(hour)s in this one",
            sum(pile.trend),
        )
        % {"day": f"{sum(pile.trend):,}", "most": f"{most:,}", "hour": f"{pile.trend[-1]:,}"},
    }


def cause_page(pile: Pile, events: Sequence[Event]) -> dict[str, Any]:
    """All that is told of one cause."""
    cause = pile.cause
    jobs = _samples(pile.shares[0])
    panels = [before_panel(events)]
    if sees_several():
        panels.append(shares_panel(pile))
    panels += [samples_panel(pile.shares[0], jobs, several=len(pile.shares) > 1), *actions_panel(cause)]
    return {
        "card": card(pile, events),
        "why": causes_words.why(cause),
        "button": button_of(pile),
        "facts": _facts(pile),
        "letter": letter(pile.shares[0]) if len(pile.shares) == 1 else "",
        "raw": _raw(jobs[0]) if jobs else "",
        "panels": panels,
        "may_try": bool(pile.jobs) and not pile.for_good,
        "may_replay": not pile.for_good,
    }


def _facts(pile: Pile) -> list[tuple[str, object]]:
    cause = pile.cause
    return [
        (_("Needs help"), counted(pile)),
        (_("First seen"), ago(pile.first_seen)),
        (_("Last seen"), ago(pile.last_seen)),
        (_("Fields"), ", ".join(cause.fields) or NOTHING),
        (_("The CRM's code"), cause.code or NOTHING),
        *([(_("In the CRM's words"), cause.words)] if cause.words else []),
    ]


def before_panel(events: Sequence[Event]) -> Panel:
    rows = [
        [
            page_link(one.row, one.words) if one.row is not None else one.words,
            *([one.tenant or NOTHING] if sees_several() else []),
            ago(one.at),
        ]
        for one in events
    ]
    headers = [_("What"), *([_("Tenant")] if sees_several() else []), _("When")]
    return Panel(
        _("What happened in the 24 hours before"),
        headers,
        rows,
        _("Nothing that we know of: no new mapping, field or credential, and no deployment."),
    )


def shares_panel(pile: Pile) -> Panel:
    rows = [
        [
            share.tenant.name,
            f"{share.count:,}",
            ago(share.cause.first_seen),
            ago(share.cause.last_seen),
            link(address("cause", pile.cause.fingerprint, share.tenant), _("Only this tenant, with its text")),
        ]
        for share in pile.shares
    ]
    headers = [_("Tenant"), _("Needs help"), _("First seen"), _("Last seen"), _("Open")]
    return Panel(_("Whom it concerns"), headers, rows, "")


def _samples(share: Share) -> list[SyncJob]:
    own = {"tenant_id": share.cause.tenant_id, "fingerprint": share.cause.fingerprint}
    return list(SyncJob.objects.filter(state="dead", **own).order_by("-pk")[:SAMPLES])


def _raw(job: SyncJob) -> str:
    return code("\n".join(part for part in (job.error, job.error_detail) if part))


def samples_panel(share: Share, jobs: Sequence[SyncJob], *, several: bool) -> Panel:
    own = {"tenant_id": share.cause.tenant_id, "fingerprint": share.cause.fingerprint}
    if share.events:
        return _event_samples(own, share)
    name_records(jobs, table_of)
    rows = [
        [
            page_link(job, f"#{job.pk}"),
            about(job),
            job.error[:300],
            ago(job.finished_at),
        ]
        for job in jobs
    ]
    title = _("Samples of %(tenant)s") % {"tenant": share.tenant.name} if several else _("Samples")
    more = (page_url(SyncJob, "changelist", state__exact="dead", fingerprint=share.cause.fingerprint), _("All of them"))
    return Panel(title, [_("Job"), _("Record"), _("Problem"), _("When")], rows, _("Nothing is left of it."), more)


def _event_samples(own: dict[str, Any], share: Share) -> Panel:
    events = InboxEvent.objects.filter(state="failed", **own).defer("body", "headers", "values").order_by("-pk")
    rows = [
        [page_link(one, f"#{one.pk}"), ", ".join(one.record_ids[:5]), one.error[:300], ago(one.received_at)]
        for one in events[:SAMPLES]
    ]
    more = (
        page_url(InboxEvent, "changelist", state__exact="failed", fingerprint=share.cause.fingerprint),
        _("All of them"),
    )
    return Panel(_("Samples"), [_("Event"), _("Records"), _("Problem"), _("When")], rows, "", more)


def actions_panel(cause: FailureCause) -> list[Panel]:
    """Who did what about it before; nothing as long as nobody did."""
    rows = (
        FailureAction.objects.filter(fingerprint=cause.fingerprint).select_related("tenant").order_by("-pk")[:ACTIONS]
    )
    shown = [
        [
            page_link(one, one.get_what_display()),
            *([one.tenant.name] if sees_several() else []),
            one.by,
            one.reason or NOTHING,
            f"{one.jobs + one.events:,}",
            ago(one.asked_at),
        ]
        for one in rows
    ]
    headers = [_("What"), *([_("Tenant")] if sees_several() else []), _("Who"), _("Why"), _("How many"), _("When")]
    return [Panel(_("What was done about it"), headers, shown, "")] if shown else []


# --- how far it is ----------------------------------------------------------------------------------------------------


def progress_of(batch: UUID) -> dict[str, Any] | None:
    """For templates/admin/progress.html."""
    found = retrying.progress(batch)
    if found is None:
        return None
    if found.what == FailureAction.What.DISMISS:
        return _dismissed(found)
    state, level = _state(found)
    return {
        "label": _("One is tried") if found.what == FailureAction.What.TRY else _("All are tried again"),
        "done": found.done + found.failed,
        "expected": found.asked,
        "state": state,
        "level": level,
        "running": not found.finished,
        "numbers": _numbers(found),
        "spoken": state if found.finished else "",
        "problem": found.problem[:500],
        "live_url": address("cause_progress", batch=batch),
    }


def _dismissed(found: Progress) -> dict[str, Any]:
    count = found.asked + found.events
    words = ngettext("%(count)s was dismissed", "%(count)s were dismissed", count) % {"count": f"{count:,}"}
    state = _("Done") if found.handed_over else _("Going on")
    level = "good" if found.handed_over else "info"
    return {"label": _("Dismissing"), "state": state, "level": level, "numbers": words, "running": False}


def _state(found: Progress) -> tuple[str, str]:
    if not found.finished:
        return _("Going on"), "info"
    if found.failed:
        return (_("It failed again") if found.what == FailureAction.What.TRY else _("Some failed again")), "bad"
    if found.what == FailureAction.What.TRY:
        return _("It worked"), "good"
    return _("Done"), "good"


def _numbers(found: Progress) -> str:
    parts = [
        ngettext("%(count)s done", "%(count)s done", found.done) % {"count": f"{found.done:,}"},
        ngettext("%(count)s failed again", "%(count)s failed again", found.failed) % {"count": f"{found.failed:,}"},
        ngettext("%(count)s waiting", "%(count)s waiting", found.waiting) % {"count": f"{found.waiting:,}"},
    ]
    if found.events:
        words = ngettext("%(count)s event works again", "%(count)s events work again", found.events)
        parts.append(words % {"count": f"{found.events:,}"})
    if found.left:
        words = ngettext("%(count)s left, since the same waits", "%(count)s left, since the same waits", found.left)
        parts.append(words % {"count": f"{found.left:,}"})
    return " · ".join(parts)
