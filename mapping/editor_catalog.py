"""What a CRM was found to have, as the editor needs it: fields by path, on which objects, with their choices."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from integrations.models import CrmConnection
from integrations.registry import provider_class
from mapping.models import CrmField
from mapping.paths import PathError, compile_path


@dataclass(frozen=True)
class Catalog:
    """`objects` are the kinds of records that stand for people; the first is the one that rows are written for."""

    objects: tuple[str, ...]
    fields: Mapping[str, Mapping[str, CrmField]] = field(default_factory=dict)
    """Object → path → field. Fields that are gone are among them, marked."""

    @property
    def is_known(self) -> bool:
        return any(self.fields.values())

    def on(self, object_type: str, path: str) -> CrmField | None:
        """The field that a row's path leads to: by the whole path, its first alternative, or the name that it begins with."""
        held = self.fields.get(object_type, {})
        return next((held[name] for name in names_of(path) if name in held), None)

    def suggestions(self) -> list[tuple[CrmField, list[str]]]:
        """Each field that is there once, with the objects that have it; the commonest first."""
        found: dict[str, tuple[CrmField, list[str]]] = {}
        for object_type in self.objects:
            for path, one in self.fields.get(object_type, {}).items():
                if one.missing_since is None:
                    found.setdefault(path, (one, []))[1].append(object_type)
        return sorted(found.values(), key=lambda pair: (pair[0].custom, pair[0].label.casefold()))


def catalog_of(connection: CrmConnection) -> Catalog:
    provider = provider_class(connection.provider)
    kinds = (provider.mapping_object, *(one for one in provider.person_types if one != provider.mapping_object))
    rows = CrmField.objects.filter(connection=connection, object_type__in=kinds)
    return Catalog(kinds, _by_object(rows))


def _by_object(rows: Iterable[CrmField]) -> dict[str, dict[str, CrmField]]:
    found: dict[str, dict[str, CrmField]] = {}
    for one in rows:
        found.setdefault(one.object_type, {})[one.path] = one
    return found


def names_of(path: str) -> Sequence[str]:
    """What the path may be called in the catalog, the most exact first; nothing when it can't be read."""
    try:
        read = compile_path(path)
    except PathError:
        return ()
    first = read.places[0]
    return tuple(dict.fromkeys([path.strip(), str(read), str(first), first.segments[0].name]))


def choices_of(one: CrmField | None) -> list[tuple[str, str]]:
    """(value, label) of a picklist."""
    pairs: list[Any] = one.options if one else []
    return [(str(value), str(label)) for value, label in pairs]
