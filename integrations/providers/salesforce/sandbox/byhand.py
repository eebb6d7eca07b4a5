"""What people do in the organisation's own pages: edit, add, delete, convert a lead, merge two records, set rules and rights.

A person sees every field and passes every page; what they do is told to whoever listens, with no origin.
"""

from collections.abc import Mapping
from typing import Any

from integrations.providers.salesforce.ids import to_18
from integrations.providers.salesforce.sandbox.base import Counter
from integrations.providers.salesforce.sandbox.org import DELETED, DENIED, HIDDEN, RULES
from integrations.providers.salesforce.sandbox.writing import Writer
from integrations.sandbox.store import Document

ADMINISTRATOR = "Ava Brooks"
WHO = ("Task", "Event")
HEIR_FIELDS = ("FirstName", "LastName", "Title", "Email", "Phone", "MobilePhone", "DoNotCall", "Description", "OwnerId")


class ByHand(Counter):
    def edit(self, object_type: str, record_id: str, fields: Mapping[str, Any]) -> None:
        self._there(object_type, record_id)
        self._person().update(object_type, record_id, fields)

    def add(self, object_type: str, fields: Mapping[str, Any]) -> str:
        return self._person().create(object_type, fields)

    def remove(self, object_type: str, record_id: str) -> None:
        self._there(object_type, record_id)
        self._person().delete(object_type, record_id)

    def purge(self, object_type: str, record_id: str) -> None:
        """Out of the recycle bin, for good: only getDeleted tells of it."""
        row = self._there(object_type, record_id, deleted=True)
        if not row.get("IsDeleted"):
            self._person().delete(object_type, record_id)
        self.store.delete(object_type, row["Id"])

    def undelete(self, object_type: str, record_id: str) -> None:
        """Back from the recycle bin."""
        row = self._there(object_type, record_id, deleted=True)
        self.store.delete(DELETED, row["Id"])
        self._person().stamp_and_save(object_type, {**row, "IsDeleted": False}, "UNDELETE", ())

    def convert(self, lead_id: str, opportunity: str = "") -> str:
        """Makes an account, a contact and perhaps an opportunity of a lead. Returns the contact's id."""
        lead = self._there("Lead", lead_id)
        person = self._person()
        account = person.create("Account", {"Name": lead.get("Company") or "Household"})
        values = {name: lead.get(name) for name in HEIR_FIELDS}
        contact = person.create("Contact", {**values, "AccountId": account})
        deal = ""
        if opportunity:
            deal = person.create(
                "Opportunity",
                {"Name": opportunity, "AccountId": account, "StageName": "Prospecting", "CloseDate": "2030-01-01"},
            )
        converted = {
            "IsConverted": True,
            "ConvertedDate": self.org.now()[:10],
            "ConvertedContactId": contact,
            "ConvertedAccountId": account,
            "ConvertedOpportunityId": deal or None,
            "Status": "Closed - Converted",
        }
        person.stamp_and_save("Lead", {**lead, **converted}, "UPDATE", tuple(converted))
        self._repoint(lead["Id"], contact)
        return contact

    def merge(self, object_type: str, winner: str, loser: str) -> None:
        """The loser goes to the recycle bin and names the winner; its tasks move without a word."""
        kept, gone = self._there(object_type, winner), self._there(object_type, loser)
        person = self._person()
        self._repoint(gone["Id"], kept["Id"])
        person.discard(object_type, {**gone, "MasterRecordId": kept["Id"]})
        person.stamp_and_save(object_type, dict(kept), "UPDATE", ("LastModifiedDate",))

    # --- what an administrator sets -----------------------------------------------------------------------------------

    def hide(self, object_type: str, *fields: str) -> None:
        """Field-level security: the integration user no longer sees these."""
        for name in fields:
            self.store.put(HIDDEN, f"{object_type}.{name}", {"object": object_type, "field": name})

    def deny(self, object_type: str, *rights: str) -> None:
        """Takes rights from the integration user: read, create, edit, delete, view_all."""
        for right in rights:
            self.store.put(DENIED, f"{object_type}.{right}", {"object": object_type, "right": right})

    def duplicate_rule(self, object_type: str, field: str, *, blocking: bool = False) -> None:
        """New records with another's value in this field are stopped; an alert may be overridden by a header."""
        rule = {"object": object_type, "field": field, "blocking": blocking}
        self.store.put(RULES, f"{object_type}.{field}", rule)

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _there(self, object_type: str, record_id: str, *, deleted: bool = False) -> Document:
        row = self.store.get(object_type, to_18(record_id))
        if row is None or (row.get("IsDeleted") and not deleted):
            raise KeyError(record_id)
        return row

    def _person(self) -> Writer:
        user = next(row["Id"] for row in self.store.all("User") if row["Name"] == ADMINISTRATOR)
        return Writer(org=self.org, faults=self.faults, user_id=user, tell=self.changed, path="by hand", by_hand=True)

    def _repoint(self, old: str, new: str) -> None:
        for object_type in WHO:
            for row in list(self.store.all(object_type)):
                if row.get("WhoId") == old:
                    self.org.save(object_type, {**row, "WhoId": new})
