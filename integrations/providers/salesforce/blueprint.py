"""What we add to an account at onboarding, as data: fields on the standard objects, and two objects of our own.

Fields "on Task" are fields of Activity, shared by Task and Event.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from integrations.providers.salesforce import objects, task

ACTIVITY = "Activity"
SEEN_ON: Mapping[str, tuple[str, ...]] = {ACTIVITY: (task.OBJECT, "Event")}
"""Where fields of an object are seen, if not on the object itself."""


def _text(label: str, length: int = 255, **more: Any) -> Mapping[str, Any]:
    return {"type": "Text", "label": label, "length": length, "required": False, **more}


def _number(label: str, precision: int) -> Mapping[str, Any]:
    return {"type": "Number", "label": label, "precision": precision, "scale": 0, "required": False}


def _key(label: str, why: str) -> Mapping[str, Any]:
    return _text(label, 64, externalId=True, unique=True, caseSensitive=True, description=why)


def _moment(label: str) -> Mapping[str, Any]:
    return {"type": "DateTime", "label": label, "required": False}


def _lookup(label: str, target: str, relation: str) -> Mapping[str, Any]:
    return {"type": "Lookup", "label": label, "referenceTo": target, "relationshipName": relation}


_PERSON: Mapping[str, Mapping[str, Any]] = {
    objects.CONTACT_KEY: _key("Dialer Contact Id", "Set by the dialer so that each person is created once."),
    "Dialer_Last_Disposition__c": _text("Dialer Last Disposition"),
    "Dialer_Call_Count__c": _number("Dialer Call Count", 9),
    "Dialer_AI_Score__c": _number("Dialer AI Score", 3),
    "Dialer_Last_Called__c": _moment("Dialer Last Called"),
    "Dialer_DNC__c": {"type": "Checkbox", "label": "Dialer Do Not Call", "defaultValue": "false"},
}
FIELDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    ACTIVITY: {
        task.KEY_FIELD: _key("Dialer Call Id", "Set by the dialer so that each call is logged once."),
        task.RECORDING_FIELD: {
            "type": "Url",
            "label": "Dialer Call Recording URL",
            "required": False,
            "description": "Link to the recording of the call.",
        },
        "Dialer_AI_Score__c": _number("Dialer AI Score", 3),
    },
    **dict.fromkeys(objects.PEOPLE, _PERSON),
}
OBJECTS: Mapping[str, Mapping[str, Any]] = {
    objects.SESSION: {
        "label": "Dialer Session",
        "plural": "Dialer Sessions",
        "name": {"type": "AutoNumber", "label": "Session", "displayFormat": "S-{000000}"},
        "fields": {
            objects.OWN_KEY: _key("Dialer Key", "Set by the dialer so that each session is created once."),
            "Agent_Email__c": {"type": "Email", "label": "Agent", "required": False},
            "Started_At__c": _moment("Started"),
            "Ended_At__c": _moment("Ended"),
            "Calls__c": _number("Calls", 9),
            "Connects__c": _number("Connects", 9),
            "Talk_Seconds__c": _number("Talk Seconds", 9),
        },
    },
    objects.VOICEMAIL_DROP: {
        "label": "Dialer Voicemail Drop",
        "plural": "Dialer Voicemail Drops",
        "name": {"type": "Text", "label": "Voicemail"},
        "fields": {
            objects.OWN_KEY: _key("Dialer Key", "Set by the dialer so that each drop is created once."),
            "Dialer_Call_Id__c": _text("Dialer Call Id", 64),
            "Lead__c": _lookup("Lead", "Lead", "Dialer_Voicemail_Drops"),
            "Contact__c": _lookup("Contact", "Contact", "Dialer_Voicemail_Drops"),
            "Dropped_At__c": _moment("Dropped"),
        },
    },
}
KINDS: Mapping[str, str] = {
    "Text": "Text, length {length}",
    "Number": "Number, length {precision}, no decimal places",
    "DateTime": "Date/Time",
    "Checkbox": "Checkbox, unchecked",
    "Url": "URL",
    "Email": "Email",
    "Lookup": "Lookup to {referenceTo}",
}
"""How the pages of Salesforce name a type."""


def shown_on(host: str) -> tuple[str, ...]:
    return SEEN_ON.get(host, (host,))


def every_field() -> Iterator[tuple[str, str]]:
    """(host object, field name)"""
    for host, fields in FIELDS.items():
        for name in fields:
            yield host, name


def how_to_make(host: str, name: str) -> str:
    """What an administrator has to click for a field."""
    field = FIELDS[host][name]
    kind = KINDS[field["type"]].format(**field)
    key = ", tick External ID and Unique" if field.get("externalId") else ""
    return (
        f"Setup > Object Manager > {host} > Fields & Relationships > New > {kind}, name {name.removesuffix('__c')}{key}, "
        "visible and editable for the integration user"
    )
