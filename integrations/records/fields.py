"""The fields of a CRM's object types, and what they are mapped to at first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field as the CRM describes it for the connected user. `path` is what a mapping row stores as the CRM field."""

    path: str
    label: str
    kind: str
    """string, text, email, phone, integer, number, boolean, date, datetime, picklist, multipicklist, user, reference, list.

    `user` is a link to one of the CRM's users; the provider shows it, and takes it, as that user's e-mail address.
    """
    writable: bool = True
    custom: bool = False
    required: bool = False
    max_length: int | None = None
    options: tuple[tuple[str, str], ...] = ()
    """(value to send, label to show) of a picklist"""


@dataclass(frozen=True, slots=True)
class Description:
    """The fields of an object type; `fields` is None when they have not changed since `stamp` was given out."""

    fields: Sequence[FieldSpec] | None
    stamp: str = ""
    """To be shown at the next request; empty when the CRM knows no such thing."""


@dataclass(frozen=True, slots=True)
class MappingDefault:
    """A row of a provider's default field mapping. `overrides` gives the path on other object types, None for "not there"."""

    dialer_field: str
    crm_field: str
    direction: str
    transform: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict)
    required: bool = False
    overrides: Mapping[str, str | None] = field(default_factory=dict)
