"""Ties an activity to the company or deal that it was about. What can't be tied costs the activity nothing.

HubSpot's ids do not tell what they are ids of: `deals:123` and `companies:123` do, and a bare number is taken for a deal
first, then for a company.
"""

import logging
from collections.abc import Mapping

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot.linking import Ends, Links

log = logging.getLogger(__name__)

TYPES: Mapping[str, str] = {
    **dict.fromkeys(("deal", "deals", "0-3"), "deals"),
    **dict.fromkeys(("company", "companies", "0-2"), "companies"),
}
EITHER = ("deals", "companies")
REFUSED = (errors.FixConfig, errors.FixData, errors.Gone, errors.Stale)


def relate(api: Api, object_type: str, pairs: Mapping[str, Ends]) -> dict[str, errors.CrmError]:
    """`pairs`: our key → the activity's id, and what it was about. Returns the errors that are worth another try."""
    failed: dict[str, errors.CrmError] = {}
    for key, (activity_id, related_to) in pairs.items():
        try:
            _tie(api, object_type, activity_id, related_to)
        except errors.CrmError as error:
            failed[key] = error
    return failed


def _tie(api: Api, object_type: str, activity_id: str, related_to: str) -> None:
    named, _, record_id = related_to.strip().rpartition(":")
    types = (TYPES[named.lower()],) if named.lower() in TYPES else EITHER
    if not record_id.isdecimal():
        log.warning("%r is no id of a deal or company in HubSpot: %s %s.", related_to, object_type, activity_id)
        return None
    for to_type in types:
        try:
            return Links(api, object_type, to_type).tie(activity_id, record_id)
        except REFUSED as error:
            log.warning("HubSpot did not tie %s to %s %s: %s", object_type, to_type, record_id, error.message)
    return None
