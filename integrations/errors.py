"""What can go wrong with a CRM, named by what the caller should do about it.

Every error has two parts: `message`, a sentence for the tenant, and `detail`, the technical text for us. Both are redacted
before they are kept. `cause` is a stable word for grouping failures in the admin.
"""

from collections.abc import Iterable, Sequence

from integrations.redaction import redact


class CrmError(Exception):
    """Base of everything that a CRM call can raise. `Retry` and its kin are worth another try, the others are not."""

    cause = "crm_error"
    code = ""
    """The vendor's own word for it, where the answer has one apart from its text."""
    fields: tuple[str, ...] = ()

    def __init__(self, message: str, *, detail: str = "", status: int | None = None, cause: str = "") -> None:
        super().__init__(redact(message))
        self.message = redact(message)
        self.detail = redact(detail)[:2000]
        self.status = status
        if cause:
            self.cause = cause

    def hide(self, values: Iterable[str]) -> None:
        """Takes these very texts out, whatever they look like: a service may repeat our key to us in its complaint."""
        for value in values:
            self.message = self.message.replace(value, "[secret]")
            self.detail = self.detail.replace(value, "[secret]")
        self.args = (self.message,)


class Retry(CrmError):
    """The service stumbled (5xx, lost connection, locked row): nothing was decided, try again later.

    `after` is the service's own wish in seconds, if it named one.
    """

    cause = "service_unavailable"

    def __init__(
        self,
        message: str,
        *,
        after: float | None = None,
        detail: str = "",
        status: int | None = None,
        cause: str = "",
    ) -> None:
        super().__init__(message, detail=detail, status=status, cause=cause)
        self.after = after


class OutcomeUnknown(Retry):
    """The request left and no answer came: the write may have happened. Look it up by its key before trying again."""

    cause = "outcome_unknown"


class Throttled(Retry):
    """A quota is used up. The service is healthy: this neither counts as an attempt nor trips the breaker."""

    cause = "rate_limited"


class BreakerOpen(Throttled):
    """We have stopped asking for a while because the service kept failing."""

    cause = "breaker_open"


class NotReady(Throttled):
    """The service works on what we asked for earlier (a bulk job): ask again after `after` seconds."""

    cause = "not_ready"


class Reconnect(CrmError):
    """The credential is dead; only a person in the CRM can mend it. Work waits, nothing is lost."""

    cause = "needs_reconnecting"


class FixData(CrmError):
    """The service refuses this record's content. `fields` names the CRM fields at fault where the service says so."""

    cause = "invalid_data"

    def __init__(
        self,
        message: str,
        *,
        fields: Sequence[str] = (),
        detail: str = "",
        status: int | None = None,
        cause: str = "",
    ) -> None:
        super().__init__(message, detail=detail, status=status, cause=cause)
        self.fields = tuple(fields)


class FixConfig(CrmError):
    """Rights, scopes, schema or our own settings are wrong: an administrator has to change something."""

    cause = "configuration"


class Standstill(FixConfig):
    """Not this record but the whole account is refused, or our own registration: nothing of the connection can go on until
    somebody has mended that. Its work waits, and none of it has failed.
    """


class Gone(CrmError):
    """The record is not there (any more), or not for this credential's eyes."""

    cause = "record_gone"


class Stale(CrmError):
    """Somebody else changed the record meanwhile: fetch it again and re-apply."""

    cause = "changed_meanwhile"


class AlreadyThere(Stale):
    """The CRM had the record that was to be made, and nothing of ours was written to it: read it, merge, then update it."""

    cause = "already_there"

    def __init__(self, crm: str, record_id: str) -> None:
        super().__init__(f"{crm} has this record already. It is linked and read before anything is written to it.")
        self.record_id = record_id


class BadSignature(CrmError):
    """A delivery that the vendor can't have sent, or not now. It is refused and not looked at any further."""

    cause = "bad_signature"


class Unsupported(CrmError):
    """This CRM has no such ability. Asking is a mistake in our code or configuration, never the tenant's."""

    cause = "unsupported"
