"""Creates the custom fields that a mapping needs. The service takes a label and makes up the name.

A second field of the same label is possible and never wanted: the list is read first, and labels are compared in any case.
There is no checkbox; a dropdown of Yes and No stands in for it.
"""

from collections.abc import Sequence
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss.schema import KINDS, CustomField, Schema
from integrations.transport.classify import json_of

WANTED: tuple[tuple[str, str], ...] = (
    ("Company", "text"),
    ("Title", "text"),
    ("Last Called", "date"),
    ("Dialer Call Count", "number"),
    ("Last AI Score", "number"),
    ("Last Disposition", "text"),
    ("Do Not Call", "dropdown"),
)
"""Label and type of what the default mappings write."""
CHECKBOX = "checkbox"
YES_NO = ("Yes", "No")
HIDDEN = (
    "Follow Up Boss does not show its custom fields to this connection, so none is synced. Connect with the key of the "
    "account's owner or of an admin."
)
WHERE = "in Follow Up Boss under Admin, Custom Fields, Create Custom Field"


class CustomFields:
    def __init__(self, api: Api, schema: Schema) -> None:
        self._api = api
        self._schema = schema

    def listed(self) -> Sequence[CustomField]:
        return self._schema.custom

    def create(self, label: str, kind: str, *, choices: Sequence[str] = (), recurring: bool = False) -> CustomField:
        """The field of this label; an existing one is returned as it is. `kind`: text, number, date, dropdown, checkbox."""
        found = self._schema.labelled(label)
        if found is not None:
            return found
        body: dict[str, Any] = {"label": label, "type": "dropdown" if kind == CHECKBOX else kind}
        if kind in {CHECKBOX, "dropdown"}:
            body["choices"] = list(choices or YES_NO)
        if recurring:
            body["isRecurring"] = True
        made = json_of(self._api.request("POST", "/customFields", json=body, repeatable=False))
        self._schema.forget_custom()
        created = self._schema.named(str(made.get("name") or "")) if isinstance(made, dict) else None
        created = created or self._schema.labelled(label)
        if created is None:
            raise errors.OutcomeUnknown(f'Follow Up Boss did not show the new field "{label}". We will look again.')
        return created

    def prepare(self, *, check_only: bool) -> list[str]:
        """Creates what is missing and says in sentences what could not be. Safe to repeat."""
        try:
            missing = self.missing()
            if check_only:
                return [to_create(label, kind) for label, kind in missing] + self.mismatches()
            for label, kind in missing:
                self.create(label, kind)
        except errors.FixConfig as refusal:
            return self._refused(refusal)
        except errors.FixData as refusal:
            return [f"Follow Up Boss did not create a custom field: {refusal.message}"]
        return self.mismatches()

    def missing(self) -> list[tuple[str, str]]:
        return [(label, kind) for label, kind in WANTED if self._schema.labelled(label) is None]

    def mismatches(self) -> list[str]:
        """Fields that are there with another type, or that nobody may write."""
        found = ((label, kind, self._schema.labelled(label)) for label, kind in WANTED)
        return [problem for label, kind, field in found if field and (problem := _problem(label, kind, field))]

    def _refused(self, refusal: errors.FixConfig) -> list[str]:
        if refusal.cause == "account_expired":
            return [refusal.message]
        try:
            missing = self.missing()
        except errors.FixConfig:
            return [HIDDEN]
        return [to_create(label, kind) for label, kind in missing]


def to_create(label: str, kind: str) -> str:
    return f'The custom field "{label}" is missing. An admin can create it {WHERE}: {shape_of(label, kind)}.'


def shape_of(label: str, kind: str) -> str:
    choices = f" with the choices {' and '.join(YES_NO)}" if kind == "dropdown" else ""
    return f'label "{label}", type {kind}{choices}'


def _problem(label: str, kind: str, field: CustomField) -> str:
    if not field.writable:
        return f'The custom field "{label}" of Follow Up Boss is read-only, so we leave it alone. Map another field.'
    if kind != "text" and field.kind != KINDS[kind]:
        return (
            f'The custom field "{label}" of Follow Up Boss has another type than {kind}. Values that do not fit are refused: '
            f"rename it there and create it anew as {kind}, or map another field."
        )
    return ""
