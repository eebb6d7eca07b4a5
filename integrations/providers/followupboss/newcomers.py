"""What a refusal about one person means: made a moment ago and not settled yet, hidden from this credential, or gone."""

from datetime import UTC, datetime, timedelta
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import listing
from integrations.transport.classify import json_of

FRESH = timedelta(minutes=2)
SETTLING_SECONDS = 5.0
"""How long to wait before asking again."""


def judged(api: Api, person_id: Any, refusal: errors.CrmError, *, sees_everybody: bool) -> errors.CrmError:
    """For a 404 or 403 about a person's call or note: Retry while the person is fresh, else the refusal itself, or that we may
    not see them.
    """
    if not isinstance(refusal, errors.Gone) and refusal.cause != "permission":
        return refusal
    try:
        response = api.request("GET", f"/people/{person_id}", params={"fields": "id,created"})
    except errors.Gone as gone:
        return gone if sees_everybody else hidden(person_id, gone)
    except errors.FixConfig:
        return refusal
    person = json_of(response)
    created = listing.parse_stamp(person.get("created") if isinstance(person, dict) else None)
    now = listing.service_time(response, datetime.now(UTC))
    if now - created > FRESH:
        return refusal
    return errors.Retry(
        "Follow Up Boss has not settled this new person yet. We will try again in a moment.",
        after=SETTLING_SECONDS,
        detail=refusal.detail,
        status=refusal.status,
    )


def hidden(person_id: Any, gone: errors.Gone) -> errors.FixConfig:
    """A 404 to somebody who does not see everybody: no reason to call the person deleted."""
    return errors.FixConfig(
        f"This connection does not see person {person_id} in Follow Up Boss: assigned to somebody else, or deleted. Have them "
        "shared, or connect with the key of the account's owner or of an admin.",
        detail=gone.detail,
        status=gone.status,
        cause="hidden",
    )
