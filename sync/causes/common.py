"""What failed work has in common. A cause is the CRM, the kind of work, what went wrong, the vendor's code and the fields.

The words of an error belong to the cause only where code and fields don't tell enough, and then without what differs from
record to record (see sync/causes/text.py). So one missing choice of a list is one cause for ten thousand records, and another
field is another one. Nothing here touches the database; sync/causes/noting.py does.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from integrations import errors
from sync.causes.text import code_in, constant_words, fields_in
from sync.models import SyncJob
from sync.values import storable

INTERNAL = "internal"
ACCOUNT_REPLACED = "account_replaced"
STUMBLES = {
    errors.Retry.cause,
    errors.OutcomeUnknown.cause,
    errors.Stale.cause,
    errors.Gone.cause,
    errors.Reconnect.cause,
    ACCOUNT_REPLACED,
}
"""Causes that are the same whatever the service said."""
_TELLING = re.compile("CUSTOM|TRIGGER|ACTIVATE|APEX|FLOW")
"""Codes under which an administrator's own rules speak: there the words tell one cause from another."""
MOST_FIELDS = 20


@dataclass(frozen=True, slots=True)
class Facts:
    """All that makes up a cause."""

    provider: str
    kind: str
    cause: str
    code: str = ""
    fields: tuple[str, ...] = ()
    words: str = ""

    @property
    def fingerprint(self) -> str:
        parts = [self.provider, self.kind, self.cause, self.code, list(self.fields), self.words]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()[:24]


def facts(
    provider: str,
    kind: str,
    cause: str,
    *,
    message: str = "",
    detail: str = "",
    code: str = "",
    fields: Sequence[str] = (),
) -> Facts:
    """`detail` is the service's own text, `message` our sentence, which is looked at only without it."""
    if cause in STUMBLES:
        return Facts(provider, kind, cause, _status(code))
    said, text = code_in(storable(detail or message).strip())
    code = code if code and not code.isdigit() else said or code
    named = tuple(sorted({*fields} or {*fields_in(text)}))[:MOST_FIELDS]
    enough = named and code and not code.isdigit() and not _TELLING.search(code)
    return Facts(provider, kind, cause, code[:100], named, "" if enough else constant_words(text, named))


def facts_of_error(provider: str, kind: str, error: Exception) -> Facts:
    if not isinstance(error, errors.CrmError):
        return facts(provider, kind, INTERNAL, detail=repr(error)[:500])
    return facts(
        provider,
        kind,
        error.cause,
        message=error.message,
        detail=error.detail,
        code=code_of(error),
        fields=error.fields,
    )


def facts_of_job(provider: str, job: SyncJob, code: str = "", fields: Sequence[str] = ()) -> Facts:
    """Of a dead job; code and fields as its outcome had them, else what its texts tell."""
    return facts(provider, job.kind, job.cause, message=job.error, detail=job.error_detail, code=code, fields=fields)


def code_of(error: errors.CrmError) -> str:
    """The vendor's word, else the status of its answer."""
    return error.code or str(error.status or "")


def _status(code: str) -> str:
    """That a service stumbles is one cause, whichever number it says so with."""
    return "" if code.isdigit() else code
