"""What a connection's settings and quotas are called on its page."""

import re
from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from integrations.admin_html import plain, spaced
from integrations.providers.base import CrmProvider
from integrations.redaction import redact

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
