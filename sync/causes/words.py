"""A cause in words: what fails, why, and what to do about it.

The tables go by causes and by the vendors' codes. The first line that fits is taken, so what is particular stands before what is
general.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.registry import provider_label
from sync.models import FailureCause

Words = str | Promise
MAPPING, CONNECTION, RECORDS, OWNERS, WAIT, SUPPORT, NOWHERE = (
    "mapping", "connection", "records", "owners", "wait", "support", "nowhere",
)  # fmt: skip
"""Where a cause is mended."""

KINDS: dict[str, Words] = {
    "push": gettext_lazy("Contacts can't be written to %(crm)s"),
    "fetch": gettext_lazy("Changes that %(crm)s told of can't be taken over"),
    "pull": gettext_lazy("Records can't be read from %(crm)s"),
    "replay": gettext_lazy("A window of the inbox of %(crm)s could not be worked again in full"),
    "backfill": gettext_lazy("A field can't be filled in from %(crm)s"),
    "reconcile": gettext_lazy("The comparison with %(crm)s stopped"),
    "rehearse": gettext_lazy("A rehearsal with %(crm)s stopped"),
    "reapply": gettext_lazy("A changed mapping can't be applied to what %(crm)s has"),
    "give_back": gettext_lazy("Values can't be given back to %(crm)s"),
    "push_results": gettext_lazy("The results of a bulk job of %(crm)s can't be read"),
    "fields": gettext_lazy("The fields of %(crm)s can't be read"),
    "rights": gettext_lazy("What this connection may do in %(crm)s can't be checked"),
    "sync_now": gettext_lazy("A contact can't be synced with %(crm)s now"),
    "undo": gettext_lazy("An undo with %(crm)s stopped"),
    "look": gettext_lazy("The account in %(crm)s can't be looked at"),
    "prepare": gettext_lazy("The account in %(crm)s can't be set up"),
}
"""Kind of work → what it means that it fails. Apps above add theirs."""
OTHER_KIND = gettext_lazy("Work for %(crm)s fails")


@dataclass(frozen=True, slots=True)
class Hint:
    """Why, and what to do. `asked`: what the customer is asked for; empty: nothing is needed from them."""

    why: Words
    advice: Words
    place: str
    asked: Words = ""


def _hint(why: Words, advice: Words, place: str, asked: Words = "") -> Hint:
    return Hint(why, advice, place, asked)


_REQUIRED = _hint(
    gettext_lazy("%(crm)s requires %(fields)s, and there is no value for it"),
    gettext_lazy("Map a dialer field to it or give the mapping row a default; or make the field optional in %(crm)s."),
    MAPPING,
    gettext_lazy("Tell us what to put into %(fields)s when the dialer has nothing, or make it optional in %(crm)s."),
)
_CHOICE = _hint(
    gettext_lazy("%(fields)s takes only the choices of its list in %(crm)s, and other values arrive"),
    gettext_lazy("Map the missing value in the row's list of choices, or add the choice in %(crm)s."),
    MAPPING,
    gettext_lazy("Add the missing choices to %(fields)s in %(crm)s, or tell us which of its choices we should write."),
)
_LONG = _hint(
    gettext_lazy("The values are longer than %(fields)s may be in %(crm)s"),
    gettext_lazy("Have the mapping row cut the value, or make the field longer in %(crm)s."),
    MAPPING,
    gettext_lazy("Make %(fields)s longer in %(crm)s, or tell us that we may cut the values."),
)
_EMAIL = _hint(
    gettext_lazy("%(crm)s does not take the e-mail addresses in %(fields)s"),
    gettext_lazy("Correct the addresses of these contacts; its samples lead to them."),
    RECORDS,
    gettext_lazy("Correct the e-mail addresses of the contacts that we list for you."),
)
_KIND = _hint(
    gettext_lazy("The values don't fit the type of %(fields)s in %(crm)s"),
    gettext_lazy("Choose the transform for this type in the mapping row, or map another field."),
    MAPPING,
    gettext_lazy("Tell us whether the type of %(fields)s was changed in %(crm)s, and what it should hold."),
)
_DOUBLE = _hint(
    gettext_lazy("%(crm)s has another record with the same value already"),
    gettext_lazy("Merge the two records in %(crm)s, or loosen the duplicate rule there. Then try again."),
    RECORDS,
    gettext_lazy("Merge the double records in %(crm)s, or loosen the rule that forbids them."),
)
_SCHEMA = _hint(
    gettext_lazy("%(crm)s has no field %(fields)s, or hides it from this connection"),
    gettext_lazy("Map another field, or have the field made visible for the integration user in %(crm)s."),
    MAPPING,
    gettext_lazy("Make the field %(fields)s visible for our user in %(crm)s, or tell us which field took its place."),
)
_RIGHTS = _hint(
    gettext_lazy("The user of this connection may not do that in %(crm)s"),
    gettext_lazy("The connection's page lists the missing rights and where they are given. Then try again."),
    CONNECTION,
    gettext_lazy("Have an administrator of %(crm)s give our user the missing rights; we gladly send the list."),
)
_RULE = _hint(
    gettext_lazy("A rule or automation in %(crm)s stops the records"),
    gettext_lazy(
        "Ask the administrator of %(crm)s to exempt the integration user from the rule, or map what it wants."
    ),
    NOWHERE,
    gettext_lazy("Have an administrator of %(crm)s look at the rule or automation that stops our user."),
)
_OWNER = _hint(
    gettext_lazy("The owner is no active user of %(crm)s"),
    gettext_lazy("Say by hand which user of %(crm)s stands for the agent, or activate the user there."),
    OWNERS,
    gettext_lazy("Activate the owners in %(crm)s, or tell us who takes their place."),
)
_GONE = _hint(
    gettext_lazy("%(crm)s does not have the records any more, or hides them from this connection"),
    gettext_lazy("Restore them in %(crm)s and try again, or dismiss the failures."),
    RECORDS,
    gettext_lazy("Tell us whether the records were deleted in %(crm)s on purpose."),
)
_STUMBLED = _hint(
    gettext_lazy("%(crm)s did not answer, or not with anything that makes sense, for a long time"),
    gettext_lazy("Nothing is wrong with the data. Once %(crm)s works again, try one, then all."),
    WAIT,
)
_LOCKED = _hint(
    gettext_lazy("%(crm)s kept the records locked by other changes"),
    gettext_lazy("Try again when less is going on in %(crm)s; an automation there may write the same records."),
    WAIT,
)
_RECONNECT = _hint(
    gettext_lazy("%(crm)s no longer accepts the connection's authorisation"),
    gettext_lazy("Connect again. What waits goes on by itself then."),
    CONNECTION,
    gettext_lazy("Connect %(crm)s again on the connection's page; it takes a minute."),
)
_ACCOUNT = _hint(
    gettext_lazy("%(crm)s does not let the app in: its edition, subscription or registration stands in the way"),
    gettext_lazy("The newest error says what. It is mended in %(crm)s or in the settings of this installation."),
    CONNECTION,
    gettext_lazy("Check that the subscription of %(crm)s is active and that its API may be used."),
)
_FULL = _hint(
    gettext_lazy("The organisation in %(crm)s is full"),
    gettext_lazy("Free storage in %(crm)s, then try again."),
    NOWHERE,
    gettext_lazy("Free some storage in %(crm)s."),
)
_REPLACED = _hint(
    gettext_lazy("It was meant for an account that another one has replaced"),
    gettext_lazy("It can't be tried again: its ids mean other records now. Dismiss it."),
    NOWHERE,
)
_OURS = _hint(
    gettext_lazy("Something in Dialbridge itself failed"),
    gettext_lazy("Support finds more in the log. If it began with a deployment, try again after the next one."),
    SUPPORT,
)
_DATA = _hint(
    gettext_lazy("%(crm)s refuses the values"),
    gettext_lazy("The newest error says which; mend the mapping row or the records, then try one."),
    MAPPING,
    gettext_lazy("Have a look at the records that we list for you, and correct them."),
)
_CONFIG = _hint(
    gettext_lazy("Something about the connection to %(crm)s has to be changed"),
    gettext_lazy("The newest error says what. The connection's page checks the rest."),
    CONNECTION,
    gettext_lazy("Have an administrator of %(crm)s check the set-up with us."),
)

BY_CAUSE: dict[str, Hint] = {
    **dict.fromkeys(("permission", "nothing_writable", "hidden"), _RIGHTS),
    **dict.fromkeys(("schema", "unknown_property", "query", "no_key_field"), _SCHEMA),
    **dict.fromkeys(("automation",), _RULE),
    **dict.fromkeys(("duplicate_value", "duplicates_detected", "duplicate", "ambiguous_key"), _DOUBLE),
    **dict.fromkeys(("unknown_owner",), _OWNER),
    **dict.fromkeys(("record_gone", "lead_converted"), _GONE),
    **dict.fromkeys(("service_unavailable", "outcome_unknown", "changed_meanwhile", "too_slow", "unreadable_answer"), _STUMBLED),
    **dict.fromkeys(("row_locked", "record_locked", "batch_halted"), _LOCKED),
    **dict.fromkeys(("needs_reconnecting", "session_expired"), _RECONNECT),
    **dict.fromkeys(
        (
            "api_disabled", "account_expired", "system_not_registered", "api_version", "app_registration", "endpoint",
            "unknown_version",
        ),
        _ACCOUNT,
    ),
    "storage_full": _FULL,
    "account_replaced": _REPLACED,
    "internal": _OURS,
}  # fmt: skip
BY_CODE: Sequence[tuple[re.Pattern[str], Hint]] = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        ("CUSTOM_VALIDATION|TRIGGER|ACTIVATE|APEX|FLOW", _RULE),
        ("REQUIRED|MISSING_ARGUMENT", _REQUIRED),
        ("PICKLIST|OPTION|ENUM", _CHOICE),
        ("TOO_LONG|TOO_LARGE|LENGTH", _LONG),
        ("EMAIL", _EMAIL),
        ("DOESNT_EXIST|INVALID_FIELD$", _SCHEMA),
        ("OWNER|CROSS_REFERENCE", _OWNER),
        ("DUPLICATE|UNIQUE", _DOUBLE),
        ("RANGE|NUMBER|INTEGER|DATE|BOOL|TYPE|MALFORMED", _KIND),
    )
)
GENERAL: dict[str, Hint] = {"invalid_data": _DATA, "configuration": _CONFIG}


MAPPED_ELSEWHERE: dict[str, tuple[str, Words]] = {}
"""Kind of work whose values no field mapping makes → where they are chosen, and what to do there. Apps above add theirs."""


def hint_of(cause: FailureCause) -> Hint:
    found = _hint_of(cause)
    if found.place != MAPPING or cause.kind not in MAPPED_ELSEWHERE:
        return found
    place, advice = MAPPED_ELSEWHERE[cause.kind]
    return replace(found, place=place, advice=advice)


def _hint_of(cause: FailureCause) -> Hint:
    found = BY_CAUSE.get(cause.cause) or next((hint for pattern, hint in BY_CODE if pattern.search(cause.code)), None)
    if found is not None and (cause.fields or "%(fields)s" not in str(found.why)):
        return found
    return GENERAL.get(cause.cause, _DATA if found is not None else _CONFIG)


def terms_of(cause: FailureCause) -> dict[str, str]:
    return {"crm": provider_label(cause.provider), "fields": ", ".join(cause.fields)}


def what(cause: FailureCause) -> str:
    """What fails, as a sentence without its end."""
    return str(KINDS.get(cause.kind, OTHER_KIND)) % terms_of(cause)


def why(cause: FailureCause) -> str:
    return str(hint_of(cause).why) % terms_of(cause)


def advice(cause: FailureCause) -> str:
    return str(hint_of(cause).advice) % terms_of(cause)


def title(cause: FailureCause) -> str:
    return _("%(what)s: %(why)s") % {"what": what(cause), "why": _uncapped(why(cause), cause)}


def _uncapped(text: str, cause: FailureCause) -> str:
    """The second half of a sentence begins small, unless it begins with a name."""
    names = (provider_label(cause.provider), *cause.fields)
    return text if text.startswith(tuple(names)) else text[:1].lower() + text[1:]
