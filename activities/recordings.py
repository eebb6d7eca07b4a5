"""Who may hear a recording: members of the call's tenant, holders of a token for this call, and whoever has a signed link to it.

Tokens and signed links carry what they allow: the call, until when, and for a token also for whom and by which API key. They are
checked before anything is looked up, so that a forged one learns nothing, and none of one call opens another.
"""

import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core import signing
from django.db.models import TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from activities.models import Call, RecordingPlay
from integrations.models import ApiKey

LONGEST = 24 * 3600
"""Seconds that a token or a signed link is good for at most."""
USUAL = 3600
SHORTEST = 10
MOST_PLAYED_SHOWN = 20
LONGEST_WHO = 200
SAME_REFUSAL = timedelta(minutes=1)
"""The same refusal again within this time is not noted again: nobody fills the table by knocking."""

_SALT = "activities.recordings.token"
_LINK = signing.Signer(salt="activities.recordings.link", sep=":", algorithm="sha256")
Way = RecordingPlay.Way


class Outcome(TextChoices):
    PLAYED = "played", _("played")
    NOT_SIGNED_IN = "not_signed_in", _("refused: not signed in")
    OTHER_TENANT = "other_tenant", _("refused: of another tenant")
    FORGED = "forged", _("refused: changed or not ours")
    EXPIRED = "expired", _("refused: expired")
    REVOKED = "revoked", _("refused: API key revoked")
    NOTHING = "no_recording", _("there is no recording")
    FORGOTTEN = "forgotten", _("the recording was forgotten")
    STORAGE = "storage_problem", _("the storage can't be reached")
    MISSING = "missing", _("there is no such call")
    """Never stored: without a call there is no row."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a token or signed link says, or why it says nothing."""

    way: Way
    problem: Outcome | None = None
    who: str = ""
    key: str = ""
    """Prefix of the API key that a token was made with."""


# --- handing out ----------------------------------------------------------------------------------------------------


def until(seconds: int) -> datetime:
    """When something that is handed out now ends, in whole seconds."""
    return datetime.fromtimestamp(int(timezone.now().timestamp()) + min(max(seconds, SHORTEST), LONGEST), UTC)


def token(call_id: uuid.UUID, ends: datetime, *, who: str = "", key: str = "") -> str:
    said = {"c": call_id.hex, "e": int(ends.timestamp()), "w": who[:LONGEST_WHO], "k": key}
    return signing.dumps(said, salt=_SALT, compress=False)


def link_query(call_id: uuid.UUID, ends: datetime) -> dict[str, str]:
    """The query that makes an address of a call's recording a signed one."""
    expires = str(int(ends.timestamp()))
    return {"expires": expires, "signature": _LINK.signature(f"{call_id.hex}.{expires}")}


# --- checking -------------------------------------------------------------------------------------------------------


def shown_token(call_id: uuid.UUID, text: str) -> Shown:
    try:
        said = signing.loads(text, salt=_SALT)
    except (signing.BadSignature, ValueError):
        return Shown(Way.TOKEN, Outcome.FORGED)
    if said["c"] != call_id.hex:
        return Shown(Way.TOKEN, Outcome.FORGED)
    return Shown(Way.TOKEN, _in_time(said["e"]), said["w"], said["k"])


def shown_link(call_id: uuid.UUID, expires: str, signature: str) -> Shown:
    try:
        if not re.fullmatch(r"[0-9]{1,12}", expires, re.ASCII) or not re.fullmatch(
            r"[\w-]{1,100}", signature, re.ASCII
        ):
            raise signing.BadSignature
        _LINK.unsign(f"{call_id.hex}.{expires}:{signature}")
    except signing.BadSignature:
        return Shown(Way.SIGNATURE, Outcome.FORGED)
    return Shown(Way.SIGNATURE, _in_time(int(expires)))


def _in_time(ends: int) -> Outcome | None:
    left = ends - timezone.now().timestamp()
    return None if 0 < left <= LONGEST else Outcome.EXPIRED


def is_revoked(call: Call, shown: Shown) -> bool:
    """A token dies with the API key that it was made with."""
    return (
        bool(shown.key)
        and not ApiKey.objects.filter(tenant_id=call.tenant_id, prefix=shown.key, revoked_at=None).exists()
    )


# --- noting ---------------------------------------------------------------------------------------------------------


def note(call: Call, outcome: Outcome, *, way: Way = Way.NOBODY, who: str = "", address: str | None = None) -> None:
    """Notes who asked and what they got."""
    row = {"way": way, "who": who[:320], "address": address, "outcome": outcome}
    refused = outcome != Outcome.PLAYED
    if refused and RecordingPlay.objects.filter(call=call, at__gt=timezone.now() - SAME_REFUSAL, **row).exists():
        return
    RecordingPlay.objects.create(tenant_id=call.tenant_id, call=call, **row)


def forget_listeners(call_ids: Any) -> None:
    """Of plays only the way and the outcome stay. `call_ids`: a collection, or a query."""
    RecordingPlay.objects.filter(call__in=call_ids).update(who="", address=None)


def newest_plays(call_ids: Collection[uuid.UUID]) -> list[RecordingPlay]:
    return list(RecordingPlay.objects.filter(call__in=call_ids).order_by("-pk")[:MOST_PLAYED_SHOWN])
