"""What the contact's page shows beside its form: where the contact is, what is under way, and what was said about it to whom."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from integrations.admin_base import Panel
from integrations.admin_exchanges import exchanges_panel
from integrations.admin_html import NOTHING, ago, badge, badge_column, link, page_link, page_url, plain
from integrations.exchanges import record_key
from integrations.models import ApiExchange
from mapping.fields import field_name
from sync import presence
from sync.admin.reviews import found_by
from sync.admin.stories import change_name, change_value, rule_name, source_name
from sync.folding import FOLDED, MERGED_INTO
from sync.job_words import kind_name
from sync.models import Conflict, Contact, FieldChange, MatchReview, SyncJob
from sync.presence import Doubt, Facts, Place

JOB_LEVELS = {"ready": "warning", "leased": "info", "done": "good", "dead": "bad"}
JOB_STATE = badge_column("state", "", JOB_LEVELS)
REVIEW_STATE = badge_column("status", "", {"open": "warning", "same": "good", "different": "muted"})


def place_row(place: Place) -> dict[str, Any]:
    """One CRM at the top of the page."""
    job = place.job
    return {
        "crm": place.crm,
        "badge": badge(place.state, place.level),
        "why": place.why,
        "records": [
            {
                "url": one.url if one.url.startswith(("https://", "http://")) else "",
                "name": f"{one.crm_object_type} {one.crm_record_id}",
                "details": page_url(one),
                "synced": ago(one.last_synced_at, ""),
            }
            for one in place.links
        ],
        "job": page_url(job) if job is not None and job.state == SyncJob.State.DEAD else "",
        "due": ago(job.not_before) if job is not None and job.state == SyncJob.State.READY and not place.busy else "",
        "connection": page_url(place.connection)
        if place.connection is not None and not place.connection.is_usable
        else "",
    }


def survivor_of(contact: Contact) -> Contact | None:
    """Whom a contact became one with."""
    survivor_id = contact.custom.get(MERGED_INTO) if contact.deleted_at else None
    found: Contact | None = Contact.objects.filter(pk=survivor_id).first() if survivor_id else None
    return found


def state_of(contact: Contact, facts: Facts) -> dict[str, Any]:
    """For the part of the page that keeps itself up to date."""
    places = presence.places(facts)
    return {
        "contact": contact,
        "places": [place_row(one) for one in places],
        "busy": presence.is_busy(places),
        "facts": [
            (_("Phone"), contact.phone or NOTHING),
            (_("Mobile phone"), contact.mobile_phone or NOTHING),
            (_("E-mail"), contact.email or NOTHING),
            (_("Company"), contact.company or NOTHING),
            (_("Job title"), contact.title or NOTHING),
            (_("Lead status"), contact.lead_status or NOTHING),
            (_("Last called"), ago(contact.last_called_at)),
            (_("Changed"), ago(contact.updated_at)),
        ],
        "state_url": page_url(contact, "state"),
    }


# --- sections -----------------------------------------------------------------------------------------------------------


def jobs_panel(facts: Facts) -> Panel:
    rows = [
        [
            page_link(one, f"#{one.pk}"),
            kind_name(one.kind),
            one.connection.get_provider_display(),
            JOB_STATE(one),
            one.attempts,
            one.error or NOTHING,
            ago(one.created_at),
        ]
        for one in facts.jobs
    ]
    headers = [_("Job"), _("What"), _("CRM"), _("State"), _("Attempts"), _("Problem"), _("Created")]
    more = (page_url(SyncJob, "changelist", q=facts.contact.pk), _("All jobs"))
    return Panel(_("Jobs"), headers, rows, _("Nothing had to be done for this contact lately."), more if rows else None)


def doubts_panel(facts: Facts) -> Panel:
    """Where both sides disagree: conflicts, and fields that are not written because both kept changing them."""
    crms = {one.pk: one.get_crm_provider_display() for one in facts.links}
    rows = [
        [
            page_link(one.kind(pk=one.pk), _doubt_words(one)),
            crms.get(one.record_id, NOTHING),
            _doubt_badge(one),
            plain(one.ours),
            plain(one.theirs),
            ago(one.since),
        ]
        for one in facts.doubts
    ]
    headers = [_("What"), _("CRM"), _("State"), _("Dialer"), _("In the CRM"), _("Since")]
    return Panel(_("Conflicts and quarantine"), headers, rows, _("Both sides agree."))


def _doubt_words(one: Doubt) -> str:
    words = _("Conflict: %(field)s") if one.kind is Conflict else _("Quarantine: %(field)s")
    return words % {"field": field_name(one.field)}


def _doubt_badge(one: Doubt) -> str:
    if one.kind is not Conflict:
        return badge(_("Not written"), "warning")
    return badge(_("Open"), "bad") if one.open else badge(_("Decided"), "good")


def people_panel(contact: Contact) -> Panel:
    """Who may be the same person, and who became one with this contact."""
    rows = [
        [
            page_link(one.candidate if one.contact_id == contact.pk else one.contact),
            REVIEW_STATE(one),
            f"{one.score:.2f}",
            found_by(one),
            ago(one.created_at),
            link(page_url(one), _("Compare or undo")),
        ]
        for one in MatchReview.objects.filter(Q(contact=contact) | Q(candidate=contact))
        .select_related("contact", "candidate")
        .order_by("-pk")[:10]
    ]
    headers = [_("Other contact"), _("State"), _("Score"), _("Found by"), _("When"), _("Decision")]
    empty = _("Nobody else looks like the same person, and nobody was merged into this contact.")
    return Panel(_("Possible duplicates and merges"), headers, rows, empty)


def history_panel(contact: Contact, newest: Sequence[FieldChange]) -> Panel:
    rows = [
        [
            ago(one.at),
            change_name(one.field),
            change_value(one.field, one.old),
            change_value(one.field, one.new),
            plain(_lost(one)),
            source_name(one.source),
            one.actor,
            rule_name(one.rule),
        ]
        for one in newest
    ]
    headers = [_("When"), _("Field"), _("Before"), _("After"), _("Lost"), _("Set by"), _("Who"), _("Rule")]
    more = (page_url(FieldChange, "changelist", q=contact.pk), _("All changes"))
    return Panel(_("History"), headers, rows, _("No value has changed yet."), more)


def _lost(change: FieldChange) -> Any:
    """What undoing a merge needs is kept there too; it tells people nothing."""
    return None if change.field == FOLDED else change.lost


def requests_panel(facts: Facts) -> Panel:
    """What was asked of the CRMs about this contact; a record is also looked up by its own id when the CRM tells of it."""
    records = [record_key(one.crm_object_type, one.crm_record_id) for one in facts.links]
    keys = [str(facts.contact.pk), *(str(one.pk) for one in facts.links), *records]
    panel = exchanges_panel(keys, presence.names_of(facts))
    if not panel.rows:
        return panel
    more = (page_url(ApiExchange, "changelist", q=facts.contact.pk), _("All of them"))
    return Panel(panel.title, panel.headers, panel.rows, panel.empty, more)


def contents(panels: Sequence[Panel]) -> list[tuple[str, str]]:
    """(anchor, words) of each section, as `admin/panels.html` numbers them."""
    return [(f"panel-{number}", _titled(panel)) for number, panel in enumerate(panels, 1)]


def _titled(panel: Panel) -> str:
    return f"{panel.title} ({len(panel.rows)})" if panel.rows else panel.title
