"""Makes the people who are called members of a campaign, once each: for tenants who measure campaigns by their calls.

Off unless the connection's settings say `{"campaign_id": "701…"}`; `"campaign_status": "Responded"` sets the member's status,
too. What goes wrong here for good never concerns the call itself.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from integrations import errors
from integrations.providers.salesforce import failures, soql
from integrations.providers.salesforce.batches import Collections, Result, first_error
from integrations.providers.salesforce.ids import is_id, to_18

log = logging.getLogger(__name__)

OBJECT = "CampaignMember"
LINKS: Mapping[str, str] = {"00Q": "LeadId", "003": "ContactId"}
"""Beginning of a person's id → the field that takes it."""
MEMBER_ALREADY = "DUPLICATE_VALUE"
FOR_GOOD = (errors.FixConfig, errors.FixData, errors.Gone, errors.Stale)

Rows = Callable[[str], Iterator[Mapping[str, Any]]]


class Campaign:
    def __init__(self, settings: Mapping[str, Any], rows: Rows, collections: Collections) -> None:
        self._id = str(settings.get("campaign_id") or "")
        self._status = str(settings.get("campaign_status") or "")
        self._rows = rows
        self._collections = collections

    def enlist(self, people: Mapping[str, str]) -> dict[str, errors.CrmError]:
        """`people`: call's key → whom it stands on. Returns the errors that are worth another try."""
        if not is_id(self._id):
            return {}
        wanted = sorted({to_18(one) for one in people.values() if one[:3] in LINKS and is_id(one)})
        try:
            failed = self._enlist(wanted) if wanted else {}
        except FOR_GOOD as error:
            log.warning("Campaign members were not written: %s", error.message)
            return {}
        except errors.CrmError as error:
            return dict.fromkeys(people, error)
        return {key: failed[to_18(one)] for key, one in people.items() if is_id(one) and to_18(one) in failed}

    def _enlist(self, people: Sequence[str]) -> dict[str, errors.CrmError]:
        members = self._members(people)
        new = [one for one in people if one not in members]
        status = {"Status": self._status} if self._status else {}
        added = [{"CampaignId": self._id, LINKS[one[:3]]: one, **status} for one in new]
        answers = self._collections.create(OBJECT, added) if added else []
        failed = dict(_failed(new, answers))
        old = [one for one in people if status and one in members and members[one].get("Status") != self._status]
        changed = [{"id": str(members[one]["Id"]), **status} for one in old]
        return failed | dict(_failed(old, self._collections.update(OBJECT, changed) if changed else []))

    def _members(self, people: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        fields = ["Id", "Status", *LINKS.values()]
        either = " OR ".join(
            soql.among(name, [one for one in people if one.startswith(start)])
            for start, name in LINKS.items()
            if any(one.startswith(start) for one in people)
        )
        where = [soql.equals("CampaignId", self._id), f"({either})"]
        rows = self._rows(soql.select(fields, OBJECT, where, ["Id"]))
        return {to_18(str(row[name])): row for row in rows for name in LINKS.values() if row.get(name)}


def _failed(people: Sequence[str], answers: Sequence[Result]) -> Iterator[tuple[str, errors.CrmError]]:
    """Those that another try may help. A member who was there already is a success."""
    for one, answer in zip(people, answers, strict=True):
        failure = first_error(answer)
        if answer.get("success") or failure.get("statusCode") == MEMBER_ALREADY:
            continue
        error = failures.of_record(failure)
        if isinstance(error, FOR_GOOD):
            log.warning("A campaign member was not written: %s", error.message)
        else:
            yield one, error
