"""What to write to a customer about a cause: what happened, since when, what is needed from them, and what is done here.

It names fields and numbers, never a record or a value.
"""

from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync.causes.counting import Share
from sync.causes.words import hint_of, terms_of, what, why


def letter(share: Share) -> str:
    """Ready to be sent. In the language that is active."""
    cause = share.cause
    asked = str(hint_of(cause).asked) % terms_of(cause)
    first = timezone.localtime(cause.first_seen)
    since = f"{formats.date_format(first)}, {formats.time_format(first)}"
    parts = [
        _("Hello,"),
        _("%(what)s since %(since)s (%(zone)s). The reason: %(why)s.")
        % {"what": what(cause), "since": since, "zone": timezone.get_current_timezone_name(), "why": why(cause)},
        _concerns(share),
        _("What we need from you: %(asked)s") % {"asked": asked}
        if asked
        else _("You need not do anything: we try again and tell you when it is over."),
        _ours(asked),
        _("If you have a question, simply answer this message."),
    ]
    return "\n\n".join(parts)


def _concerns(share: Share) -> str:
    count = share.count
    return ngettext(
        "It concerns %(count)s record. Everything else is kept in step as before, and nothing is lost.",
        "It concerns %(count)s records. Everything else is kept in step as before, and nothing is lost.",
        count,
    ) % {"count": f"{count:,}"}


def _ours(asked: str) -> str:
    if not asked:
        return _("Nothing is written twice when we do.")
    return _(
        "What we do: as soon as that is mended we try one record, then all of them again. Nothing is written twice."
    )
