"""What a person in Follow Up Boss is made of: standard fields as a table, custom fields as the account defines them.

Custom fields are top-level keys with generated names (`customDialerCallCount`). Mapping rows may use that name or the
label people see (`customFields."Dialer Call Count"`); labels are resolved here and nowhere else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.followupboss import listing
from integrations.providers.followupboss.defaults import EMAIL, MOBILE_PHONE, WORK_PHONE
from integrations.records.fields import FieldSpec

OWN_FIELDS = ("id", "created", "updated", "stage")
"""Asked for with every person, whatever the mapping says."""

STANDARD: tuple[FieldSpec, ...] = (
    FieldSpec("firstName", "First name", "string"),
    FieldSpec("lastName", "Last name", "string"),
    FieldSpec("name", "Full name", "string", writable=False),
    FieldSpec(EMAIL, "E-mail (primary)", "email"),
    FieldSpec("emails[type=work].value", "E-mail (work)", "email"),
    FieldSpec("emails[type=home].value", "E-mail (home)", "email"),
    FieldSpec(WORK_PHONE, "Phone (work, else home, else first)", "phone"),
    FieldSpec("phones[type=work].value", "Phone (work)", "phone"),
    FieldSpec("phones[type=home].value", "Phone (home)", "phone"),
    FieldSpec(MOBILE_PHONE, "Phone (mobile)", "phone"),
    FieldSpec("stage", "Stage", "picklist"),
    FieldSpec("assignedTo", "Assigned to", "user"),
    FieldSpec("source", "Source", "string", writable=False),
    FieldSpec("sourceUrl", "Source URL", "string", writable=False),
    FieldSpec("tags", "Tags", "list"),
    FieldSpec("price", "Price", "number"),
    FieldSpec("contacted", "Contacted", "boolean"),
    FieldSpec("addresses[0].street", "Street", "string"),
    FieldSpec("addresses[0].city", "City", "string"),
    FieldSpec("addresses[0].state", "State", "string"),
    FieldSpec("addresses[0].code", "Postal code", "string"),
    FieldSpec("addresses[0].country", "Country", "string"),
    FieldSpec("timeframeId", "Time frame (id)", "integer"),
    FieldSpec("assignedLenderName", "Lender", "string", writable=False),
    FieldSpec("createdVia", "Created via", "string", writable=False),
    FieldSpec("created", "Created", "datetime", writable=False),
    FieldSpec("updated", "Updated", "datetime", writable=False),
    FieldSpec("lastActivity", "Last activity", "datetime", writable=False),
)
OUTCOMES = ("Interested", "Not Interested", "Left Message", "No Answer", "Busy", "Bad Number")
"""The only call outcomes the service takes."""
CALL_FIELDS: tuple[FieldSpec, ...] = (
    FieldSpec("outcome", "Outcome", "picklist", options=tuple((outcome, outcome) for outcome in OUTCOMES)),
    FieldSpec("note", "Note", "text"),
    FieldSpec("duration", "Duration (seconds)", "integer"),
    FieldSpec("recordingUrl", "Recording", "string"),
)
KINDS = {"text": "string", "date": "date", "number": "number", "dropdown": "picklist"}

_ALTERNATIVES = re.compile(r'\|\|(?=(?:[^"\\]|\\.|"(?:[^"\\]|\\.)*")*$)')
_HEAD = re.compile(r'\s*(?P<name>\w+)(?:\s*\.\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>[\w$:-]+)))?')


@dataclass(frozen=True, slots=True)
class CustomField:
    name: str
    label: str
    kind: str
    choices: tuple[str, ...]
    writable: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """What to ask for. `labels`: a custom field's label, as the mapping spells it, to its name."""

    names: tuple[str, ...]
    labels: Mapping[str, str]

    @property
    def owner(self) -> bool:
        return "assignedUserId" in self.names


class Schema:
    """The account's fields, read once per instance."""

    def __init__(self, api: Api) -> None:
        self._api = api

    @cached_property
    def custom(self) -> tuple[CustomField, ...]:
        return tuple(_custom_field(item) for item in listing.everything(self._api, "customFields", {}))

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Names of the account's own stages; the trash is one of them."""
        names = (str(stage.get("name") or "") for stage in listing.everything(self._api, "stages", {}))
        return tuple(name for name in names if name)

    def labelled(self, label: str) -> CustomField | None:
        return next((field for field in self.custom if field.label.strip().lower() == label.strip().lower()), None)

    def named(self, name: str) -> CustomField | None:
        return next((field for field in self.custom if field.name == name), None)

    def forget_custom(self) -> None:
        """Reads the custom fields again when they are next needed."""
        self.__dict__.pop("custom", None)

    def describe(self) -> list[FieldSpec]:
        options = tuple((name, name) for name in self.stages)
        return [_with_options(spec, options) for spec in STANDARD] + list(self._describe_custom())

    def _describe_custom(self) -> Iterator[FieldSpec]:
        seen: set[str] = set()
        for custom in self.custom:
            # Two fields may share a label, and some labels read badly in quotes: those go by their name.
            plain = bool(custom.label) and custom.label.lower() not in seen and not set(custom.label) & {'"', "\\"}
            seen.add(custom.label.lower())
            yield FieldSpec(
                path=f'customFields."{custom.label}"' if plain else custom.name,
                label=custom.label,
                kind=custom.kind,
                writable=custom.writable,
                custom=True,
                options=tuple((choice, choice) for choice in custom.choices),
            )

    def select(self, paths: Sequence[str]) -> Selection:
        """The fields behind mapping paths. Those that the account does not have are left out."""
        names = dict.fromkeys(OWN_FIELDS)
        labels: dict[str, str] = {}
        known = {spec.path.split("[")[0] for spec in STANDARD}
        for name, label in heads(paths):
            if name == "customFields":
                found = self._by_label(label)
                labels.update({label: found} if found else {})
                names.update({found: None} if found else {})
            elif name in known or (name.startswith("custom") and name in self._custom_names()):
                names[name] = None
        if "assignedTo" in names:
            names["assignedUserId"] = None
        return Selection(tuple(names), labels)

    def _by_label(self, label: str) -> str:
        matches = [custom.name for custom in self._readable_custom() if custom.label.lower() == label.lower()]
        return matches[0] if matches else ""

    def _custom_names(self) -> set[str]:
        return {custom.name for custom in self._readable_custom()}

    def _readable_custom(self) -> tuple[CustomField, ...]:
        """Where the list of custom fields is hidden from this user, the standard fields still come."""
        try:
            return self.custom
        except errors.FixConfig:
            self.__dict__["custom"] = ()
            return ()


def heads(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The first one or two steps of each alternative of each path: (`customFields`, `Company`), (`phones`, "")."""
    for path in paths:
        for alternative in _ALTERNATIVES.split(path):
            match = _HEAD.match(alternative)
            if match:
                yield match["name"], re.sub(r"\\(.)", r"\1", match["quoted"] or "") or match["word"] or ""


def _custom_field(item: Mapping[str, Any]) -> CustomField:
    return CustomField(
        name=str(item.get("name", "")),
        label=str(item.get("label", "")),
        kind=KINDS.get(str(item.get("type", "")), "string"),
        choices=tuple(str(choice) for choice in item.get("choices") or ()),
        writable=not item.get("readOnly"),
    )


def _with_options(spec: FieldSpec, stages: tuple[tuple[str, str], ...]) -> FieldSpec:
    if spec.path != "stage":
        return spec
    return FieldSpec(spec.path, spec.label, spec.kind, options=stages)
