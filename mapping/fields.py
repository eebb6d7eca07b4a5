"""The dialer's own fields, as data: what a mapping row may name, what kind of value each holds, and its standard rules.

A tenant's own contact fields are `custom.<name>`; they take any JSON value. `readonly` fields are counted or computed
by the dialer: a CRM can receive them but never set them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal

from mapping.rules import E164_PATTERN, EMAIL_PATTERN, Rule

Direction = Literal["inbound", "outbound", "bidirectional"]
Kind = Literal[
    "string", "text", "email", "phone", "integer", "number", "boolean", "datetime", "date", "picklist", "list", "any"
]

DIRECTIONS: tuple[Direction, ...] = ("inbound", "outbound", "bidirectional")
STRING_LENGTH = 255
TEXT_LENGTH = 32_000
URL_LENGTH = 2_048
EMAIL_LENGTH = 254
CUSTOM_PREFIX = "custom."

_CUSTOM_NAME = re.compile(r"\w[\w .-]{0,99}")
_KIND_LENGTHS: dict[str, int] = {
    "string": STRING_LENGTH,
    "picklist": STRING_LENGTH,
    "text": TEXT_LENGTH,
    "email": EMAIL_LENGTH,
}


@dataclass(frozen=True)
class DialerField:
    key: str
    label: str
    kind: Kind
    direction_default: Direction
    choices: tuple[str, ...] = ()
    max_length: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    readonly: bool = False

    @property
    def length_limit(self) -> int | None:
        return self.max_length or _KIND_LENGTHS.get(self.kind)

    @property
    def standard_rules(self) -> tuple[Rule, ...]:
        """What every value of this field must keep, whatever the tenant adds."""
        rules = []
        if self.kind == "phone":
            rules.append(
                Rule("format", {"pattern": E164_PATTERN}, f"{self.label} must be in E.164 form, such as +14155550100.")
            )
        if self.kind == "email":
            rules.append(Rule("format", {"pattern": EMAIL_PATTERN}, f"{self.label} must be an e-mail address."))
        if self.length_limit:
            message = f"{self.label} is too long: at most {self.length_limit:,} characters are allowed."
            rules.append(Rule("length", {"max": self.length_limit}, message))
        if self.minimum is not None or self.maximum is not None:
            rules.append(Rule("range", {"min": self.minimum, "max": self.maximum}))
        if self.choices:
            rules.append(Rule("enum", {"values": self.choices}))
        return tuple(rules)


class UnknownFieldError(KeyError):
    """A field or entity the dialer does not have; the text is a sentence for the person who wrote the mapping."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the sentence in quotes


_CONTACT = (
    DialerField("first_name", "First name", "string", "bidirectional"),
    DialerField("last_name", "Last name", "string", "bidirectional"),
    DialerField("email", "E-mail", "email", "bidirectional"),
    DialerField("phone", "Phone", "phone", "bidirectional"),
    DialerField("mobile_phone", "Mobile phone", "phone", "bidirectional"),
    DialerField("company", "Company", "string", "bidirectional"),
    DialerField("title", "Job title", "string", "bidirectional"),
    DialerField("lead_status", "Lead status", "picklist", "bidirectional"),  # each tenant's CRM has its own stages
    DialerField("owner_email", "Owner's e-mail", "email", "inbound"),
    DialerField("do_not_call", "Do not call", "boolean", "bidirectional"),
    DialerField("last_called_at", "Last called at", "datetime", "outbound", readonly=True),
    DialerField("call_count", "Number of calls", "integer", "outbound", minimum=0, readonly=True),
    DialerField("ai_score", "AI score", "number", "outbound", minimum=0, maximum=100, readonly=True),
    DialerField("last_disposition", "Last disposition", "picklist", "outbound", readonly=True),
)
_CALL_ACTIVITY = (
    DialerField("external_id", "Call id", "string", "outbound", readonly=True),
    DialerField("direction", "Direction", "picklist", "outbound", choices=("inbound", "outbound"), readonly=True),
    DialerField("duration_seconds", "Duration in seconds", "integer", "outbound", minimum=0, readonly=True),
    DialerField("started_at", "Started at", "datetime", "outbound", readonly=True),
    DialerField("disposition", "Disposition", "picklist", "outbound", readonly=True),
    DialerField("notes", "Notes", "text", "outbound", readonly=True),
    DialerField("summary", "Summary", "text", "outbound", readonly=True),
    DialerField("key_points", "Key points", "list", "outbound", readonly=True),
    DialerField("next_steps", "Next steps", "list", "outbound", readonly=True),
    DialerField("recording_url", "Recording", "string", "outbound", max_length=URL_LENGTH, readonly=True),
    DialerField("agent_email", "Agent's e-mail", "email", "outbound", readonly=True),
    DialerField("ai_score", "AI score", "number", "outbound", minimum=0, maximum=100, readonly=True),
    DialerField("sentiment", "Sentiment", "picklist", "outbound", readonly=True),
    DialerField("talk_ratio", "Talk ratio of the agent", "number", "outbound", minimum=0, maximum=100, readonly=True),
)

DIALER_FIELDS: Mapping[str, Mapping[str, DialerField]] = MappingProxyType(
    {
        "contact": MappingProxyType({field.key: field for field in _CONTACT}),
        "call_activity": MappingProxyType({field.key: field for field in _CALL_ACTIVITY}),
    }
)


def dialer_field(entity: str, key: str) -> DialerField:
    """Raises UnknownFieldError with a sentence that names the nearest field."""
    fields = DIALER_FIELDS.get(entity)
    if fields is None:
        known = ", ".join(DIALER_FIELDS)
        raise UnknownFieldError(f'The dialer has no entity "{entity}"; choose one of {known}.')
    if key in fields:
        return fields[key]
    if entity == "contact" and key.startswith(CUSTOM_PREFIX):
        return _custom_field(key)
    near = get_close_matches(key, fields, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"choose one of {', '.join(fields)}."
    raise UnknownFieldError(f'The dialer has no {entity} field "{key}"; {hint}')


def field_name(key: str) -> str:
    """What a contact's field is called on screens; the key itself where it names none."""
    try:
        return dialer_field("contact", key).label
    except UnknownFieldError:
        return key


def _custom_field(key: str) -> DialerField:
    name = key.removeprefix(CUSTOM_PREFIX)
    if not _CUSTOM_NAME.fullmatch(name):
        raise UnknownFieldError(
            f'"{key}" cannot name an own field: after "custom." come up to 100 letters, digits, spaces, dots, - or _.'
        )
    return DialerField(key, name, "any", "bidirectional")


SPOKEN = {"call_notes": "notes"}
"""What conflict rules may call a field of a call."""


def conflict_field_problem(key: str) -> str:
    """Why a conflict rule can't name this field; empty when it can: a contact's field or a call's."""
    if SPOKEN.get(key, key) in DIALER_FIELDS["call_activity"]:
        return ""
    try:
        dialer_field("contact", key)
    except UnknownFieldError as error:
        return str(error)
    return ""
