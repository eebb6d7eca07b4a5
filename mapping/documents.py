"""Mapping rows in a configuration document: which keys a row has, and everything that may be wrong with it, told with its path."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from integrations.models import Tenant
from integrations.registry import PROVIDERS
from mapping.compiled import CompiledMapping, MappingError
from mapping.fields import DIALER_FIELDS, UnknownFieldError, dialer_field
from mapping.models import Blank, FieldMapping, Strategy
from mapping.publishing import engine_row
from mapping.transforms import TRANSFORMS

ROW_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "crm_provider": str,
    "sync_direction": str,
    "dialer_entity": str,
    "dialer_field": str,
    "crm_object": str,
    "crm_field": str,
    "transform_rule": (str, type(None)),
    "custom_transform": (dict, type(None)),
    "is_required": bool,
    "is_active": bool,
    "strategy": str,
    "on_blank": str,
    "validations": list,
    "object_overrides": dict,
}
"""The columns of a mapping row in the document, and what JSON they take."""
NEEDED = ("crm_provider", "sync_direction", "dialer_entity", "dialer_field", "crm_object", "crm_field")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at which place of the document."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidDocument(ValueError):
    """The document can't be used; `problems` has every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def check_rows(rows: Any, path: str) -> Iterator[Problem]:
    if not isinstance(rows, list):
        yield Problem(path, "Write a list of rows.")
        return
    sound: list[tuple[str, dict[str, Any]]] = []
    for place, row in enumerate(rows):
        own = f"{path}[{place}]"
        found = list(_check_row(row, own))
        yield from found
        if not found:
            sound.append((own, row))
    yield from _check_together(sound)


def _check_row(row: Any, path: str) -> Iterator[Problem]:
    if not isinstance(row, dict):
        yield Problem(path, "Write an object with one key for each column.")
        return
    for key in row:
        if key not in ROW_KEYS:
            yield Problem(f"{path}.{key}", f"A mapping row has no such column. Known are: {', '.join(ROW_KEYS)}.")
    for key in NEEDED:
        if not row.get(key):
            yield Problem(f"{path}.{key}", "This is missing.")
    for key, kinds in ROW_KEYS.items():
        if key in row and not isinstance(row[key], kinds):
            yield Problem(f"{path}.{key}", f"{row[key]!r} is not of the right kind.")
    yield from _check_words(row, path)


def _check_words(row: Mapping[str, Any], path: str) -> Iterator[Problem]:
    choices: dict[str, Sequence[str]] = {
        "crm_provider": list(PROVIDERS),
        "sync_direction": FieldMapping.Direction.values,
        "dialer_entity": list(DIALER_FIELDS),
        "transform_rule": list(TRANSFORMS),
        "strategy": Strategy.values,
        "on_blank": Blank.values,
    }
    for key, allowed in choices.items():
        value = row.get(key)
        if isinstance(value, str) and value and value not in allowed:
            yield Problem(f"{path}.{key}", f"{value!r} is unknown. Choose one of: {', '.join(allowed)}.")
    entity, name = row.get("dialer_entity"), row.get("dialer_field")
    if entity in DIALER_FIELDS and isinstance(name, str) and name:
        try:
            dialer_field(str(entity), name)
        except UnknownFieldError as error:
            yield Problem(f"{path}.dialer_field", str(error))


def _check_together(rows: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[Problem]:
    """What only shows when rows are seen beside each other, or compiled by the engine."""
    seen: dict[tuple[str, str, str], str] = {}
    for path, row in rows:
        identity = (row["crm_provider"], row["dialer_entity"], row["dialer_field"])
        if identity in seen:
            yield Problem(f"{path}.dialer_field", f"This field is mapped already at {seen[identity]}.")
        seen.setdefault(identity, path)
        yield from _check_compiled(path, row)


def _check_compiled(path: str, row: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        CompiledMapping.compile(
            [engine_row(model_row(row))], object_type=row["crm_object"], entity=row["dialer_entity"]
        )
    except MappingError as error:
        yield from (Problem(path, one.message) for one in error.problems)


def model_row(row: Mapping[str, Any], tenant: Tenant | None = None) -> FieldMapping:
    given: dict[str, Any] = {name: row[name] for name in ROW_KEYS if name in row}
    return FieldMapping(**given, **({"tenant_id": tenant.pk} if tenant else {}))
