"""What a connection's settings and quotas are called on its page."""

import re
from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from integrations.admin_html import plain, spaced
from integrations.redaction import redact

Words = str | Promise

SETTINGS: Mapping[str, Words] = {
    "accept_body_signature": _("Take webhooks whose signature covers their body alone"),
    "allow_duplicates": _("Save records that the CRM takes for duplicates"),
    "bulk_from": _("Bulk jobs from so many records on"),
    "call_form": _("Calls are written as"),
    "campaign_id": _("Campaign that calls count for"),
    "campaign_status": _("Status of its members"),
    "check_only": _("Create no fields in the CRM"),
    "create_contacts": _("Create our contacts in the CRM"),
    "fuzzy_threshold": _("How alike names have to be to ask about them"),
    "on_delete": _("When a record is deleted in the CRM"),
    "outbound_messages": _("Take the CRM's outbound messages"),
    "rate_limits": _("Quotas of this account"),
    "stream_channel": _("Channel of the change stream"),
    "unknown_outcome_pause": _("Seconds before a write without an answer is looked for"),
    "webhook_certificates": _("Certificates that sign webhooks"),
    "webhook_scheme": _("How webhooks are signed"),
}
QUOTAS: Mapping[str, Words] = {
    "bulk": _("Bulk jobs"),
    "burst": _("Our own brake"),
    "ceiling": _("Highest rate of all"),
    "daily": _("All requests of a day"),
    "default": _("All requests"),
    "global": _("All requests"),
    "search": _("Searches"),
}
METHODS: Mapping[str, Words] = {
    "DELETE": _("Deleting %(what)s"),
    "GET": _("Reading %(what)s"),
    "POST": _("Adding %(what)s"),
    "PUT": _("Changing %(what)s"),
}
LONGEST = 200
_IS_SECRET = re.compile(r"secret|token|password|_key$")
_OF_A_METHOD = re.compile(r"([A-Z]+)\.(\w+)")


def setting_line(name: str, value: Any) -> str:
    """One setting as a sentence's worth of words, without secrets; of long texts, such as certificates, only their number."""
    texts = value if isinstance(value, list) else [value]
    if _IS_SECRET.search(name):
        told = gettext("stored")
    elif any(isinstance(one, str) and len(one) > LONGEST for one in texts):
        told = gettext("%(count)d stored") % {"count": len(texts)}
    else:
        told = redact(plain(value))
    return f"{SETTINGS.get(name) or spaced(name)}: {told}"


def quota_name(bucket: str) -> str:
    """A quota as a provider calls its bucket, which may be the part of it that is kept for what must not wait."""
    name, _colon, kept = bucket.partition(":")
    method = _OF_A_METHOD.fullmatch(name)
    if method and method[1] in METHODS:
        words = str(METHODS[method[1]]) % {"what": method[2]}
    else:
        words = str(QUOTAS.get(name) or spaced(name))
    return gettext("%(quota)s, for what must not wait") % {"quota": words} if kept else words
