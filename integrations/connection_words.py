"""What a connection's settings and quotas are called on its page."""

import re
from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from integrations.admin_html import NOTHING, plain, progress, spaced
from integrations.models import RateWindow
from integrations.providers.base import CrmProvider
from integrations.redaction import redact
from integrations.registry import PROVIDERS, provider_class

SETTINGS: Mapping[str, Promise] = {
    "bulk_from": _("Bulk jobs from so many records on"),
    "check_only": _("Create no fields in the CRM"),
    "create_contacts": _("Create our contacts in the CRM"),
    "fuzzy_threshold": _("How alike names have to be to ask about them"),
    "on_delete": _("When a record is deleted in the CRM"),
    "rate_limits": _("Quotas of this account"),
    "unknown_outcome_pause": _("Seconds before a write without an answer is looked for"),
}
"""Those of any connection. What only one service knows, its provider has the words for."""
LONGEST = 200
_IS_SECRET = re.compile(r"secret|token|password|_key$")


def setting_line(provider: type[CrmProvider], name: str, value: Any) -> str:
    """One setting as a sentence's worth of words, without secrets; of long texts, such as certificates, only their number."""
    texts = value if isinstance(value, list) else [value]
    if _IS_SECRET.search(name):
        told = gettext("stored")
    elif any(isinstance(one, str) and len(one) > LONGEST for one in texts):
        told = gettext("%(count)d stored") % {"count": len(texts)}
    else:
        told = redact(plain(value))
    return f"{SETTINGS.get(name) or provider.setting_words.get(name) or spaced(name)}: {told}"


def quota_name(provider: type[CrmProvider], bucket: str) -> str:
    """A quota as a provider calls its bucket, which may be the part of it that is kept for what must not wait."""
    name, _colon, kept = bucket.partition(":")
    words = provider.quota_words(name) or spaced(name)
    return gettext("%(quota)s, for what must not wait") % {"quota": words} if kept else words


def shared_quota_name(bucket: str) -> str:
    """Of one that all connections to a CRM share."""
    name = bucket.partition(":")[0]
    for slug in PROVIDERS:
        provider = provider_class(slug)
        if any(limit.shared and limit.bucket == name for limit in provider.default_limits):
            return quota_name(provider, bucket)
    return spaced(bucket)


def quota_used(window: RateWindow) -> str:
    if window.quota is None or window.remaining is None:
        return NOTHING if window.quota is None else gettext("at most %(quota)s") % {"quota": f"{window.quota:,}"}
    return progress(window.quota - window.remaining, window.quota, gettext("Used of this quota"))


def quota_span(window: RateWindow) -> str:
    seconds = window.seconds
    if not seconds:
        return NOTHING
    if seconds >= 3600:
        return gettext("%(hours)g h") % {"hours": seconds / 3600}
    return gettext("%(seconds)g s") % {"seconds": round(seconds, 1)}
