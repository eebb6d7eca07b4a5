"""Turns a mapping's nested values into the fields of one record, as the describe of the object wants them.

Fields that are unknown, hidden or not writable are left out: one of them would fail the whole record. A value that cannot
become what its field holds is the record's own fault and is said in words.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from integrations import errors
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.providers.salesforce.schema import ObjectSchema

Field = Mapping[str, Any]
TRUE, FALSE = {"true", "1", "yes", "y", "on"}, {"false", "0", "no", "n", "off", ""}
OWNER_FIELD = "Email"


@dataclass(frozen=True, slots=True)
class Shaper:
    """`owners` gives the user of an address in lower case, empty for nobody. `left_out` are fields not to send."""

    schema: ObjectSchema
    owners: Mapping[str, str]
    zone: ZoneInfo
    left_out: frozenset[str] = field(default_factory=frozenset)

    def shape(self, values: Mapping[str, Any], *, create: bool) -> dict[str, Any]:
        """The values to send; empty only if `values` are. Raises FixData for a value, FixConfig when nothing can be written."""
        right = "createable" if create else "updateable"
        shaped: dict[str, Any] = {}
        for path, value in flat(values):
            target = self._target(path)
            if target is None or not target.get(right) or target["name"] in self.left_out:
                continue
            if value in (None, "") and (create or _is_owner(path, target)):
                continue
            shaped[str(target["name"])] = self._value(path, target, value)
        if values and not shaped:
            raise errors.FixConfig(
                f"None of the fields {', '.join(path for path, _ in flat(values))} can be written in Salesforce by the "
                "integration user. Check the field mapping and the fields' visibility.",
                cause="nothing_writable",
            )
        return shaped

    def missing(self, values: Mapping[str, Any]) -> list[str]:
        """The object's own fields among these that it does not have, or would not take."""
        own = [path for path, _value in flat(values) if "." not in path]
        return [path for path in own if path not in self.schema.fields or path in self.left_out]

    def _target(self, path: str) -> Field | None:
        """The field that a path writes: itself, or the look-up of a user that is given by address."""
        if path in self.schema.fields:
            return self.schema.fields[path]
        relation, _, name = path.partition(".")
        for one in self.schema.fields.values():
            if (
                one.get("relationshipName") == relation
                and name == OWNER_FIELD
                and "User" in (one.get("referenceTo") or ())
            ):
                return one
        return None

    def _value(self, path: str, target: Field, value: Any) -> Any:
        if value in (None, ""):
            if _is_required(target):
                raise _unsuitable(target, "can't be empty")
            return False if target["type"] == "boolean" else None
        if _is_owner(path, target) or (_is_user(target) and "@" in str(value)):
            return self._owner(target, str(value))
        convert = _KINDS.get(str(target["type"]), _text)
        return convert(target, value, self.zone)

    def _owner(self, target: Field, email: str) -> str:
        found = self.owners.get(email.lower())
        if not found:
            raise errors.FixData(
                f"No active Salesforce user has the address {email}. Correct it, or add the user in Salesforce.",
                fields=[str(target["name"])],
                cause="unknown_owner",
            )
        return found


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def addresses(values: Mapping[str, Any]) -> Iterator[str]:
    """Every value that may be a user's address: those given through a look-up."""
    return (str(value) for path, value in flat(values) if "@" in str(value) and (_ends(path) or path.endswith("Id")))


def _ends(path: str) -> bool:
    return path.endswith(f".{OWNER_FIELD}")


def _is_owner(path: str, target: Field) -> bool:
    return _ends(path) and _is_user(target)


def _is_user(target: Field) -> bool:
    return target["type"] == "reference" and "User" in (target.get("referenceTo") or ())


def _is_required(target: Field) -> bool:
    return not target.get("nillable", True) and target["type"] != "boolean"


def _unsuitable(target: Field, why: str) -> errors.FixData:
    name = str(target["name"])
    return errors.FixData(f"The Salesforce field {target.get('label') or name} {why}.", fields=[name])


# --- one function per kind of field ---------------------------------------------------------------------------------


def _text(_target: Field, value: Any, _: ZoneInfo) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _boolean(target: Field, value: Any, _: ZoneInfo) -> bool:
    word = str(value).strip().lower()
    if word not in TRUE | FALSE:
        raise _unsuitable(target, f"takes yes or no, not {value!r}")
    return word in TRUE


def _number(target: Field, value: Any, _: ZoneInfo) -> float | int:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or isinstance(value, bool):
        raise _unsuitable(target, f"takes a number, not {value!r}")
    return int(number) if number.is_integer() else number


def _whole(target: Field, value: Any, zone: ZoneInfo) -> int:
    return round(_number(target, value, zone))


def _day(target: Field, value: Any, zone: ZoneInfo) -> str:
    """The day of a moment is the tenant's day."""
    found = _read_time(target, value)
    if isinstance(found, datetime):
        found = (found.astimezone(zone) if found.tzinfo else found).date()
    return found.isoformat()


def _moment(target: Field, value: Any, zone: ZoneInfo) -> str:
    found = _read_time(target, value)
    if not isinstance(found, datetime):
        found = datetime.combine(found, time(), zone)
    aware = found if found.tzinfo else found.replace(tzinfo=zone)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_time(target: Field, value: Any) -> date | datetime:
    if isinstance(value, date):
        return value
    try:
        text = str(value).strip()
        return date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
    except ValueError as error:
        raise _unsuitable(target, f"takes a date, not {value!r}") from error


def _choice(target: Field, value: Any, _: ZoneInfo) -> str:
    return _one_of(target, str(value))


def _choices(target: Field, value: Any, _: ZoneInfo) -> str:
    parts = value if isinstance(value, list | tuple | set | frozenset) else str(value).split(";")
    return ";".join(_one_of(target, str(part).strip()) for part in parts)


def _one_of(target: Field, value: str) -> str:
    """The value as it is sent: a label will do. Only a restricted list refuses what it does not hold."""
    options = {
        str(one["value"]): str(one.get("label") or "")
        for one in target.get("picklistValues") or ()
        if one.get("active")
    }
    if value in options:
        return value
    alike = [known for known, label in options.items() if value.lower() in {known.lower(), label.lower()}]
    if alike:
        return alike[0]
    if target.get("restrictedPicklist"):
        raise _unsuitable(target, f"takes only: {', '.join(options)}. Got {value!r}")
    return value


def _reference(target: Field, value: Any, _: ZoneInfo) -> str:
    if not is_id(str(value)):
        raise _unsuitable(target, f"takes the id of a record, not {value!r}")
    return to_18(str(value))


_KINDS: Mapping[str, Callable[[Field, Any, ZoneInfo], Any]] = {
    "boolean": _boolean,
    "int": _whole,
    "double": _number,
    "currency": _number,
    "percent": _number,
    "date": _day,
    "datetime": _moment,
    "picklist": _choice,
    "multipicklist": _choices,
    "reference": _reference,
}
