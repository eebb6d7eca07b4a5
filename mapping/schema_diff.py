"""What changed in a CRM's fields between two looks at them, and which mapping rows that breaks. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from integrations.records.fields import FieldSpec
from mapping.compiled import MappingRow
from mapping.paths import Path, PathError, compile_path

COMPARED = ("label", "kind", "writable", "required", "max_length", "options")


@dataclass(frozen=True, slots=True)
class Difference:
    """`change`: added, returned, removed, or the name of the attribute that changed."""

    path: str
    label: str
    change: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True, slots=True)
class Broken:
    """A mapping row that a difference breaks, and why, as a sentence."""

    dialer_field: str
    why: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def differences(known: Mapping[str, FieldSpec], missing: Iterable[str], found: Sequence[FieldSpec]) -> list[Difference]:
    """`known` are the fields as kept, `missing` those among them that were gone at the last look already."""
    gone, now = set(missing), {spec.path: spec for spec in found}
    result = []
    for path, spec in now.items():
        if path not in known:
            result.append(Difference(path, spec.label, "added"))
        elif path in gone:
            result.append(Difference(path, spec.label, "returned"))
        if path in known:
            result += _changes(known[path], spec)
    result += [Difference(path, known[path].label, "removed") for path in known if path not in now and path not in gone]
    return result


def _changes(old: FieldSpec, new: FieldSpec) -> list[Difference]:
    pairs = [(name, _plain(getattr(old, name)), _plain(getattr(new, name))) for name in COMPARED]
    return [
        Difference(new.path, new.label, name, before, after)
        for name, before, after in pairs
        if not _same(before, after)
    ]


def _same(before: Any, after: Any) -> bool:
    """The order of a picklist's choices means nothing."""
    if isinstance(before, list) and isinstance(after, list):
        return sorted(map(str, before)) == sorted(map(str, after))
    return bool(before == after)


def _plain(value: Any) -> Any:
    return [list(option) for option in value] if isinstance(value, tuple) else value


def broken_by(difference: Difference, rows: Iterable[MappingRow], object_type: str) -> list[Broken]:
    """The rows of the mapping in force that can't do their work any more since this change."""
    return [
        Broken(row.dialer_field, why)
        for row in rows
        if _uses(row, object_type, difference.path) and (why := _why(difference, row))
    ]


def _uses(row: MappingRow, object_type: str, path: str) -> bool:
    written = row.path_on(object_type)
    if not written:
        return False
    try:
        places, field = compile_path(written).places, compile_path(path)
    except PathError:
        return False
    return any(_is_in(str(place), place.segments[0].name, field) for place in places)


def _is_in(place: str, root: str, field: Path) -> bool:
    """Whether a place is this field, or lies inside it when the field is a whole structure such as a list of phones."""
    return place == str(field) or field.plain_key == root


def _why(difference: Difference, row: MappingRow) -> str:
    writes = row.direction in {"outbound", "bidirectional"}
    if difference.change == "removed":
        return "The CRM has no such field any more, or hides it from the connected user."
    if difference.change == "writable" and writes and difference.after is False:
        return "The CRM lets nobody write this field any more."
    if difference.change == "kind":
        return f"The field was of the type {difference.before} and is now {difference.after}: check the transform."
    if difference.change == "required" and difference.after and not writes:
        return "The CRM demands a value for this field now, and the mapping doesn't send one."
    if difference.change == "max_length" and writes and _shorter(difference):
        return f"The field takes {difference.after} characters now, it took {difference.before or 'any number'}."
    if difference.change == "options":
        return _lost_choices(difference, row)
    return ""


def _shorter(difference: Difference) -> bool:
    return difference.after is not None and (difference.before is None or difference.after < difference.before)


def _lost_choices(difference: Difference, row: MappingRow) -> str:
    lost = {str(value) for value, _label in difference.before or ()} - {
        str(value) for value, _label in difference.after or ()
    }
    named = {str(value) for value in _texts(row.options)}
    used = sorted(lost & named) if named else sorted(lost)
    return f"The CRM no longer offers {', '.join(used)}." if used else ""


def _texts(options: Any) -> Iterable[str]:
    """Every text anywhere in a transform's options: a picklist map names CRM values on either side."""
    if isinstance(options, Mapping):
        for key, value in options.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(options, list | tuple):
        for item in options:
            yield from _texts(item)
    elif options is not None:
        yield str(options)
