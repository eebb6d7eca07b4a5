"""What the events of the inbox are called on screens: how they came, what they say happened, and the feeds that are read.

See also `job_words`.
"""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from integrations.admin_html import spaced
from integrations.records.events import Change

Words = str | Promise

WAYS: Mapping[str, Words] = {
    "webhook": _("Webhook"),
    "stream": _("Change stream"),
    "followed": _("Told by another event"),
}
CHANGES: Mapping[str, Words] = {
    Change.CREATED: _("Created"),
    Change.UPDATED: _("Changed"),
    Change.DELETED: _("Deleted"),
    Change.RESTORED: _("Restored"),
    Change.MERGED: _("Merged into another"),
    Change.ERASED: _("Erased for privacy"),
    Change.RESYNC: _("Events were lost: all is read again"),
}

FEEDS: Mapping[str, Words] = {
    "poll": _("Asked every five minutes: %(of)s"),
    "stream": _("Change stream %(of)s"),
    "reconcile": _("Comparing all records: %(of)s"),
    "backfill": _("Back-fill, run %(of)s"),
    "snapshots": _("Applying a rehearsal, run %(of)s"),
}


def feed_name(feed: str) -> str:
    """What is read from a CRM and how far is remembered, as `FeedCursor.feed` holds it."""
    kind, _colon, of = feed.partition(":")
    return (str(FEEDS[kind]) % {"of": of}).strip() if kind in FEEDS else feed


def way_name(source: str) -> str:
    return str(WAYS.get(source) or spaced(source))


def change_name(change: str) -> str:
    return str(CHANGES.get(change) or spaced(change))
