"""The work for one field of one record: read, convert, fit to the field's kind, check, store; or the same outward.

A session builds one function per row from here, so that nothing is looked up again for each record. Most values are short
texts that are copied, numbers and addresses in their usual form, or empty; a row's `Line` says how those are settled without the
full function.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from mapping.paths import MISSING, Path, PathError
from mapping.places import is_blank
from mapping.quick import usual
from mapping.rows import CompiledRow
from mapping.transforms import Context, Convert
from mapping.unrolled import Line
from mapping.validation import Problem, compile_checks
from mapping.values import TransformError, reader

_TEXT_KINDS = frozenset({"string", "text", "picklist", "email", "phone"})
# What these conversions give inbound is of these kinds already.
_GIVES: Mapping[str, frozenset[str]] = {
    "phone_e164": _TEXT_KINDS,
    "lowercase": _TEXT_KINDS,
    "date_iso": frozenset({"datetime"}),
    "date_sfdc": frozenset({"date"}),
    "boolean_yn": frozenset({"boolean"}),
    "boolean_checkbox": frozenset({"boolean"}),
    "currency_cents": frozenset({"integer"}),
}


class Draft:
    """What one record is to become in the CRM."""

    def __init__(self, existing: Mapping[str, Any] | None, *, partial: bool) -> None:
        self.fields: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self.partial = partial
        self._existing = existing or {}
        self._lists: list[Path] = []

    def present(self, path: Path) -> Mapping[str, Any]:
        return self.fields if path.root in self.fields else self._existing

    def write(self, path: Path, value: Any) -> None:
        """A CRM replaces a list as a whole, so a list starts as a copy of the record's present one."""
        if not path.writes_list:
            path.set(self.fields, value)
        elif value is not None or not is_blank(path.places[0].get(self.present(path))):
            if path.root not in self.fields and path.root in self._existing:
                self.fields[path.root] = copy.deepcopy(self._existing[path.root])
            path.set(self.fields, value)
            self._lists.append(path)

    def finish(self) -> dict[str, Any]:
        # Only now: entries removed earlier would move those that other rows choose by place.
        for path in self._lists:
            path.drop_emptied(self.fields)
        return self.fields


ReadStep: TypeAlias = Callable[[Mapping[str, Any], dict[str, Any], list[Problem], bool], None]
WriteStep: TypeAlias = Callable[[Mapping[str, Any], Draft], None]


def read_line(row: CompiledRow, context: Context) -> Line:
    """How a row is read: what usually comes is settled on the spot, everything else by the full step."""
    source = row.path.plain_key or _getter(row.path)
    blank = row.required_message is None
    return Line(read_step(row, context), row.field.key, source, *usual(row, context, "inbound"), blank)


def write_line(row: CompiledRow, context: Context) -> Line:
    full, target = write_step(row, context), row.path.plain_key
    if target is None:
        return Line(full)
    blank = row.required_message is None
    return Line(full, target, row.field.key, *usual(row, context, "outbound"), blank)


def read_step(row: CompiledRow, context: Context) -> ReadStep:
    key, rule, needed = row.field.key, row.transform.rule, row.required_message
    read, convert = _getter(row.path), _converter(row, "inbound", context)
    fit, broken = _inbound_fitter(row, context), _checker(row, context)

    def step(record: Mapping[str, Any], values: dict[str, Any], problems: list[Problem], partial: bool) -> None:
        value = read(record)
        stage = rule
        try:
            if value is MISSING or value is None or value == "":
                if value is MISSING and (partial or needed is None):
                    return
                value = None
            elif convert is not None:
                value = convert(value, record)
            if fit is not None and value is not None:
                stage = "kind"
                value = fit(value)
        except TransformError as error:
            problems.append(Problem(key, stage, str(error)))
            return
        if not broken(value, problems):
            values[key] = None if value == "" else value

    return step


def write_step(row: CompiledRow, context: Context) -> WriteStep:
    key, needed, path = row.field.key, row.required_message, row.path
    fit, broken = reader(row.field.kind, ZoneInfo(context.timezone)), _checker(row, context)
    convert, same = _converter(row, "outbound", context), _same_already(row, context)

    def step(values: Mapping[str, Any], draft: Draft) -> None:
        value = values.get(key, MISSING)
        if value is MISSING and (draft.partial or needed is None):
            return
        stage = "kind"
        try:
            value = None if is_blank(value) else fit(value)
            if broken(value, draft.problems) or (same is not None and same(draft, value)):
                return
            stage = row.transform.rule
            if convert is not None and value is not None:
                value = convert(value, values)
            stage = "path"
            draft.write(path, None if is_blank(value) else value)
        except (TransformError, PathError) as error:
            draft.problems.append(Problem(key, stage, str(error)))

    return step


def _getter(path: Path) -> Callable[[Mapping[str, Any]], Any]:
    name = path.plain_key
    if name is None:
        return path.get if len(path.places) > 1 else path.places[0].get
    return lambda record: record.get(name, MISSING)


def _converter(row: CompiledRow, direction: str, context: Context) -> Convert | None:
    return None if row.transform.rule == "none" else row.transform.build(direction, row.options, context)


def _inbound_fitter(row: CompiledRow, context: Context) -> Callable[[Any], Any] | None:
    kind = row.field.kind
    if kind == "any" or kind in _GIVES.get(row.transform.rule, ()):
        return None
    read = reader(kind, ZoneInfo(context.timezone))
    return lambda value: None if value == "" else read(value)


def _checker(row: CompiledRow, context: Context) -> Callable[[Any, list[Problem]], bool]:
    """Tells whether a rule is broken, and reports each one that is."""
    if context.runtime is None:
        raise RuntimeError("A mapping step needs a Context with a runtime.")
    key, needed, limit = row.field.key, row.required_message, _free_length(row)
    checks = compile_checks(row.rules, context.runtime)

    def broken(value: Any, problems: list[Problem]) -> bool:
        if value.__class__ is str and 0 < len(value) <= limit:
            return False
        if value is None or value == "":
            if needed is not None:
                problems.append(Problem(key, "required", needed))
            return needed is not None
        found = False
        for kind, check in checks:
            message = check(value)
            if message is not None:
                problems.append(Problem(key, kind, message))
                found = True
        return found

    return broken


def _free_length(row: CompiledRow) -> int:
    """The length up to which a text keeps all rules of the row; 0 when only the rules can tell."""
    only_limited = [rule.type for rule in row.rules] == ["length"]
    return row.field.length_limit or 0 if only_limited else 0


def _same_already(row: CompiledRow, context: Context) -> Callable[[Draft, Any], bool] | None:
    """Whether the list in the CRM says this already: a phone number in another format is no change."""
    if not row.path.writes_list:
        return None
    try:
        convert = _converter(row, "inbound", context)
    except TransformError:  # an expression for one direction only
        return None
    fit = reader(row.field.kind, ZoneInfo(context.timezone))

    def same(draft: Draft, value: Any) -> bool:
        present = draft.present(row.path)
        current = row.path.get(present)
        if value is None or is_blank(current):
            return False
        try:
            return bool(fit(current if convert is None else convert(current, present)) == value)
        except TransformError:
            return False

    return same
