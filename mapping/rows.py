"""The rows of a field mapping as plain data, and the check that makes them compiled rows or tells all their faults."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mapping.fields import DIRECTIONS, DialerField, UnknownFieldError, dialer_field
from mapping.options import region_problem
from mapping.paths import Path, PathError, compile_path
from mapping.rules import Rule, RulesError, parse_rules
from mapping.transforms import TRANSFORMS, Context, Transform, TransformError, check_options
from mapping.validation import Problem
from mapping.values import time_zone

CLEAR, IGNORE, FILL = "clear", "ignore", "fill"
BLANK_RULES = (CLEAR, IGNORE, FILL)

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class MappingRow:
    """One line of the mapping. `validations` are rules or their JSON form.

    `object_overrides` has the path on other CRM objects than `crm_object`; None means: not on that object. `on_blank` says what
    an empty value does to the other side: clear it, be ignored, or (fill) values only ever fill what is empty there.
    """

    dialer_field: str
    crm_object: str
    crm_field: str
    direction: str
    transform: str = "none"
    options: Mapping[str, Any] | None = None
    required: bool = False
    validations: tuple[Rule | Mapping[str, Any], ...] = ()
    object_overrides: Mapping[str, str | None] = field(default_factory=dict)
    on_blank: str = CLEAR
    strategy: str = ""
    """Kept with the row; conflicts are decided elsewhere."""

    def path_on(self, object_type: str) -> str | None:
        if object_type == self.crm_object:
            return self.crm_field
        return self.object_overrides.get(object_type, self.crm_field)


class MappingError(ValueError):
    """A mapping that cannot be used. `problems` tells every fault, with the dialer field of its row."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(f"{one.field}: {one.message}" if one.field else one.message for one in self.problems))


@dataclass(frozen=True)
class CompiledRow:
    field: DialerField
    path: Path
    transform: Transform
    options: Mapping[str, Any]
    direction: str
    rules: tuple[Rule, ...]
    required_message: str | None
    on_blank: str = CLEAR

    @property
    def reads(self) -> bool:
        return self.direction != "outbound"

    @property
    def writes(self) -> bool:
        return self.direction != "inbound"


def compile_rows(
    rows: Iterable[MappingRow], *, entity: str, object_type: str, region: str, timezone: str
) -> tuple[CompiledRow, ...]:
    """The rows that apply to the object. Raises MappingError with the faults of all rows."""
    problems = list(_tenant_problems(region, timezone))
    context = Context() if problems else Context(region, timezone)
    compiled = []
    for row in rows:
        text = row.path_on(object_type)
        if text is not None:
            one = _compile(row, text, entity, context, problems)
            compiled += [one] if one else []
    problems += _doubled(compiled)
    if problems:
        raise MappingError(problems)
    return tuple(compiled)


def _tenant_problems(region: str, timezone: str) -> Iterator[Problem]:
    problem = region_problem(region)
    if problem:
        yield Problem("", "region", f'The region "{region}" {problem}')
    try:
        time_zone(timezone)
    except ValueError as error:
        yield Problem("", "timezone", str(error))


def _compile(row: MappingRow, text: str, entity: str, context: Context, problems: list[Problem]) -> CompiledRow | None:
    """Adds what is wrong with the row to `problems`; gives the row only when nothing is."""
    found: list[tuple[str, str]] = []
    known = _field(row, entity, found)
    path = _path(text, found)
    rules = _rules(row, found)
    if row.direction not in DIRECTIONS:
        found.append(("direction", f'"{row.direction}" is no direction; choose one of {", ".join(DIRECTIONS)}.'))
    if row.on_blank not in BLANK_RULES:
        found.append(("on_blank", f'"{row.on_blank}" is no rule for blanks; choose one of {", ".join(BLANK_RULES)}.'))
    found += _transform_problems(row, context)
    problems += [Problem(row.dialer_field, kind, message) for kind, message in found]
    if found or known is None or path is None:
        return None
    return _compiled(row, known, path, rules)


def _compiled(row: MappingRow, known: DialerField, path: Path, rules: tuple[Rule, ...]) -> CompiledRow:
    needed = [rule.message for rule in rules if rule.type == "required"]
    required = f"{known.label} is required, but it is empty." if row.required or needed else None
    standard = known.standard_rules
    if row.transform == "phone_e164":  # the conversion gives nothing else
        standard = tuple(rule for rule in standard if rule.type != "format")
    return CompiledRow(
        field=known,
        path=path,
        transform=TRANSFORMS[row.transform],
        options=row.options or _EMPTY,
        direction=row.direction,
        rules=standard + tuple(rule for rule in rules if rule.type != "required"),
        required_message=next(filter(None, needed), required),
        on_blank=row.on_blank,
    )


def _field(row: MappingRow, entity: str, found: list[tuple[str, str]]) -> DialerField | None:
    try:
        known = dialer_field(entity, row.dialer_field)
    except UnknownFieldError as error:
        found.append(("field", str(error)))
        return None
    if known.readonly and row.direction in ("inbound", "bidirectional"):
        message = f"{known.label} comes from the dialer and cannot be set by a CRM; choose the direction outbound."
        found.append(("direction", message))
    return known


def _path(text: str, found: list[tuple[str, str]]) -> Path | None:
    try:
        return compile_path(text)
    except PathError as error:
        found.append(("path", str(error)))
        return None


def _rules(row: MappingRow, found: list[tuple[str, str]]) -> tuple[Rule, ...]:
    raw = [rule.as_json() if isinstance(rule, Rule) else rule for rule in row.validations]
    try:
        return parse_rules(raw)
    except RulesError as error:
        found += [("validations", problem) for problem in error.problems]
        return ()


def _transform_problems(row: MappingRow, context: Context) -> list[tuple[str, str]]:
    if row.transform not in TRANSFORMS:
        return [("transform", problem) for problem in check_options(row.transform, row.options)]
    problems = check_options(row.transform, row.options)
    for direction in () if problems else _directions(row):
        try:
            TRANSFORMS[row.transform].build(direction, row.options or _EMPTY, context)
        except TransformError as error:
            problems.append(str(error))
    return [("options", problem) for problem in problems]


def _directions(row: MappingRow) -> tuple[str, ...]:
    return ("inbound", "outbound") if row.direction == "bidirectional" else (row.direction,)


def _doubled(rows: list[CompiledRow]) -> Iterator[Problem]:
    fields: set[str] = set()
    written: dict[str, str] = {}
    for row in rows:
        if row.field.key in fields:
            yield Problem(row.field.key, "field", "The field has two rows for the same CRM object; keep one of them.")
        fields.add(row.field.key)
        place = str(row.path.places[0])
        other = written.setdefault(place, row.field.key) if row.writes else row.field.key
        if other != row.field.key:
            yield Problem(
                row.field.key, "path", f"{place} is already written by {other}; two rows cannot write one field."
            )
