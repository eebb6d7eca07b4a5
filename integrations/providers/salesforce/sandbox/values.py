"""Whether a value suits its field, as the organisation judges it."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.sandbox.objects import BY_PREFIX, Field
from integrations.providers.salesforce.sandbox.org import Org
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.providers.salesforce.sandbox.soql import stamp

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
NUMBERS = {"int", "double", "currency", "percent"}


def checked(org: Org, field: Field, value: Any) -> Any:
    """The value as it is stored. Raises Refused."""
    if value is None or value == "":
        return None
    if field.type == "reference":
        return _reference(org, field, value)
    if field.type == "boolean" or field.type in NUMBERS:
        return _plain(field, value)
    if not isinstance(value, str):
        raise Refused("JSON_PARSER_ERROR", f"Cannot deserialize {field.name} from {type(value).__name__}")
    return _TEXTS.get(field.type, _text)(field, value)


def _text(field: Field, value: str) -> str:
    if field.length and len(value.encode("utf-16-le")) // 2 > field.length:
        raise Refused(
            "STRING_TOO_LONG", f"{field.name}: data value too large (max length={field.length})", [field.name]
        )
    if field.restricted and value not in field.options:
        message = f"{field.name}: bad value for restricted picklist field: {value}"
        raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [field.name])
    return value.strip()


def _email(field: Field, value: str) -> str:
    if not _EMAIL.fullmatch(value.strip()):
        raise Refused("INVALID_EMAIL_ADDRESS", f"{field.name}: invalid email address: {value}", [field.name])
    return _text(field, value)


def _several(field: Field, value: str) -> str:
    unknown = [part for part in value.split(";") if field.restricted and part not in field.options]
    if unknown:
        message = f"{field.name}: bad value for restricted picklist field: {unknown[0]}"
        raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [field.name])
    return value


def _day(_: Field, value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise Refused(
            "JSON_PARSER_ERROR", f"Cannot deserialize instance of date from VALUE_STRING value {value}"
        ) from error


def _moment(_: Field, value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or "T" not in value:
        raise Refused("JSON_PARSER_ERROR", f"Cannot deserialize instance of datetime from VALUE_STRING value {value}")
    return stamp(moment)


_TEXTS: Mapping[str, Callable[[Field, str], str]] = {
    "date": _day,
    "datetime": _moment,
    "email": _email,
    "multipicklist": _several,
}


def _reference(org: Org, field: Field, value: Any) -> str:
    kind = BY_PREFIX.get(str(value)[:3], "")
    if not is_id(str(value)) or kind not in field.refers:
        name = "Name" if field.name == "WhoId" else field.name.removesuffix("Id")
        code = "FIELD_INTEGRITY_EXCEPTION" if field.name in {"WhoId", "WhatId"} else "MALFORMED_ID"
        raise Refused(code, f"{name} ID: id value of incorrect type: {value}", [field.name])
    target = org.get(to_18(str(value)))
    if target is None:
        raise Refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [field.name])
    if target.get("IsDeleted"):
        raise Refused("ENTITY_IS_DELETED", "entity is deleted", [field.name])
    if kind == "User" and target.get("IsActive") is False:
        raise Refused("INACTIVE_OWNER_OR_USER", f"operation performed with inactive user [{value}] as owner")
    return str(target["Id"])


def _plain(field: Field, value: Any) -> Any:
    if field.type == "boolean" and isinstance(value, bool):
        return value
    if field.type not in NUMBERS or isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("JSON_PARSER_ERROR", f"Cannot deserialize {field.name} from {value!r}")
    if field.type == "int" and not float(value).is_integer():
        raise Refused("JSON_PARSER_ERROR", f"Cannot deserialize {field.name} from {value!r}")
    if field.precision and abs(value) >= 10 ** (field.precision - field.scale):
        raise Refused(
            "NUMBER_OUTSIDE_VALID_RANGE", f"{field.name}: value outside of valid range: {value}", [field.name]
        )
    return value
