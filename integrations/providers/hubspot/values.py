"""Our values as HubSpot's properties take them: all text, choices by their value, owners by id, days at midnight."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from integrations import errors
from integrations.providers.hubspot.owners import Owners
from integrations.providers.hubspot.schema import is_owner

Definition = Mapping[str, Any]


def property_text(name: str, value: Any, definition: Definition, owners: Owners) -> str:
    """Empty clears. What HubSpot may know better, such as a choice we have not heard of, is passed on as it is.

    Raises FixData or FixConfig for what no property can hold, and for an owner that cannot be found.
    """
    if value is None:
        return ""
    if isinstance(value, Mapping):
        raise errors.FixData(f"HubSpot's property {name} holds one value, not a record of several.", fields=[name])
    if is_owner({"name": name, **definition}):
        return _owner(name, str(value).strip(), owners)
    shape = _SHAPES.get(str(definition.get("type")))
    return shape(value, definition) if shape else _plain(value)


def _owner(name: str, value: str, owners: Owners) -> str:
    if not value or "@" not in value:
        return value
    found = owners.id_of(value)
    if not found and owners.forbidden:
        raise errors.FixConfig(
            f"HubSpot wants an owner's id in {name}, and this connection may not read owners. Grant "
            "crm.objects.owners.read and connect again, or take the field out of the mapping.",
            cause="permission",
        )
    if not found:
        raise errors.FixData(
            f"HubSpot has no active user with the address in {name}. Invite them in HubSpot, or clear the field.",
            fields=[name],
        )
    return found


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _datetime(value)
    if isinstance(value, list | tuple | set | frozenset):
        return ";".join(map(str, value))
    return str(value)


def _datetime(value: Any) -> str:
    moment = _moment(value)
    if moment is None:
        return _text(value)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _date(value: Any) -> str:
    """The day in UTC: HubSpot knows no other midnight."""
    moment = _moment(value)
    return _text(value) if moment is None else moment.astimezone(UTC).date().isoformat()


def _moment(value: Any) -> datetime | None:
    """None for what is no time, and for milliseconds, which HubSpot takes as they are."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(value: Any) -> str:
    return str(value).strip()


def _choice(value: Any, definition: Definition) -> str:
    """By value or by label. Several are joined by `;`, and a leading one adds to those that are there."""
    options = list(definition.get("options") or [])
    if definition.get("fieldType") != "checkbox":
        return _option(_plain(value), options)
    many: Iterable[Any] = value.split(";") if isinstance(value, str) else value if _is_many(value) else [value]
    return ";".join(_option(_plain(one), options) for one in many)


def _is_many(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _option(text: str, options: Iterable[Mapping[str, Any]]) -> str:
    exact = {str(option["value"]): str(option["value"]) for option in options}
    loose: dict[str, str] = {}
    for option in options:
        loose.setdefault(str(option["value"]).casefold(), str(option["value"]))
    for option in options:
        loose.setdefault(str(option.get("label") or "").casefold(), str(option["value"]))
    return exact.get(text) or loose.get(text.strip().casefold()) or text


_SHAPES: Mapping[str, Callable[[Any, Definition], str]] = {
    "datetime": lambda value, _: _datetime(value),
    "date": lambda value, _: _date(value),
    "enumeration": _choice,
}
