"""The people endpoints of Follow Up Boss, one function each. What comes back is the service's own person."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import entries, listing
from integrations.providers.followupboss.listing import Listing
from integrations.transport.classify import json_of

ALL = {"fields": "allFields"}
"""Without it custom fields and several standard ones are missing from the answer."""


class People:
    def __init__(self, api: Api, region: str) -> None:
        self._api = api
        self._region = region

    def pages(self, **filters: Any) -> Iterator[Listing]:
        """Everybody who passes the filters (`stage`, `tags`, `assignedUserId`, `smartListId`, `updatedAfter`, …), by ids."""
        for page, _last, _done in listing.by_ids(self._api, "people", {**ALL, **filters}):
            yield page

    def get(self, person_id: str) -> dict[str, Any]:
        """Also from the trash. Raises Gone: deleted, merged away, or hidden from this credential."""
        return self._person(self._api.request("GET", f"/people/{person_id}", params=ALL))

    def create(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """The person and whether it is new. One who was there already comes back as they are: nothing of `body` is applied."""
        response = self._api.request(
            "POST", "/people", params={"deduplicate": "true"}, json=dict(body), repeatable=False
        )
        person = json_of(response)
        if not isinstance(person, dict) or not person.get("id"):
            raise errors.OutcomeUnknown("Follow Up Boss did not say where it keeps this person. We will look them up.")
        return person, response.status_code == 201

    def update(self, person_id: str, body: Mapping[str, Any], *, merge_tags: bool = False) -> None:
        """Lists are replaced as a whole, tags unless `merge_tags`; keys that are absent stay."""
        params = {"mergeTags": "true"} if merge_tags else {}
        self._api.request("PUT", f"/people/{person_id}", params=params, json=dict(body), repeatable=True)

    def delete(self, person_id: str) -> bool:
        """For good: not into the trash. Whether they were there, and visible to us."""
        response = self._api.request("DELETE", f"/people/{person_id}", repeatable=True, accept=(404, 410))
        return response.status_code < 300

    def is_known(self, email: str = "", phone: str = "") -> str | None:
        """Who has the person, in the whole account whatever our role: their name, "" for nobody; None for no such person."""
        params = {key: value for key, value in (("email", email), ("phone", phone)) if value}
        answer = json_of(self._api.request("GET", "/people/checkDuplicate", params=params))
        known = isinstance(answer, dict) and answer.get("found")
        return str(answer.get("assignedTo") or "") if known else None

    def search(self, emails: Sequence[str] = (), phones: Sequence[str] = ()) -> list[dict[str, Any]]:
        """People with one of these addresses, else with one of these numbers; the trash last, then the oldest first."""
        same_phone = entries.same_phone(self._region)
        for email in emails:
            found = [one for one in self._by(email=email) if _has(one, "emails", email, entries.same_email)]
            if found:
                return _ranked(found)
        for phone in phones:
            # Most numbers are kept without the country's code, some as they were typed.
            for form in dict.fromkeys((entries.national(phone, self._region), entries.dialled(phone, self._region))):
                found = [one for one in self._by(phone=form) if _has(one, "phones", phone, same_phone)]
                if found:
                    return _ranked(found)
        return []

    def named(self, first: str, last: str, created_after: str) -> list[dict[str, Any]]:
        """People of exactly this name who were made since."""
        names = {"firstName": first, "lastName": last}
        asked = {key: value for key, value in names.items() if value}
        found = self._by(**asked, createdAfter=created_after) if asked else []
        return [one for one in found if all(str(one.get(key) or "") == value for key, value in names.items())]

    def in_smart_list(self, smart_list_id: str) -> Iterator[Listing]:
        return self.pages(smartListId=smart_list_id)

    def unclaimed(self) -> list[dict[str, Any]]:
        """Leads that nobody has claimed yet."""
        return listing.everything(self._api, "people/unclaimed", {}, name="people")

    def claim(self, person_id: str) -> None:
        self._api.request("POST", "/people/claim", json={"personId": int(person_id)}, repeatable=True)

    def ignore_unclaimed(self, person_id: str) -> None:
        self._api.request("POST", "/people/ignoreUnclaimed", json={"personId": int(person_id)}, repeatable=True)

    def _by(self, **filters: str) -> list[dict[str, Any]]:
        return listing.everything(self._api, "people", {**ALL, **filters, "includeTrash": "true", "sort": "id"})

    def _person(self, response: Any) -> dict[str, Any]:
        person = json_of(response)
        if not isinstance(person, dict) or not person.get("id"):
            raise errors.Retry("Follow Up Boss sent an answer without a person. We will ask again.")
        return person


def _has(person: Mapping[str, Any], kind: str, value: str, same: entries.Same) -> bool:
    return any(same(str(one.get("value") or ""), value) for one in person.get(kind) or ())


def _ranked(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda one: (str(one.get("stage") or "").lower() == "trash", int(one["id"])))
