"""What differs between two mappings, row by row and in words. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mapping.editor_rows import Row, canonical, ordered
from mapping.fields import DIALER_FIELDS
from mapping.models import Blank, FieldMapping, Strategy
from mapping.publishing import ENTITY
from mapping.transforms import TRANSFORMS

NAMES: Mapping[str, Any] = {
    "crm_field": gettext_lazy("CRM field"),
    "direction": gettext_lazy("Direction"),
    "transform": gettext_lazy("Transform"),
    "options": gettext_lazy("Transform options"),
    "required": gettext_lazy("Required"),
    "strategy": gettext_lazy("On conflict"),
    "on_blank": gettext_lazy("An empty value"),
    "validations": gettext_lazy("Checks"),
    "object_overrides": gettext_lazy("On other objects"),
    "crm_object": gettext_lazy("CRM object"),
    "active": gettext_lazy("Switched on"),
}
OPTION_NAMES: Mapping[str, Any] = {
    "region": gettext_lazy("home country"),
    "accept": gettext_lazy("accepts numbers that are"),
    "dayfirst": gettext_lazy("day before month"),
    "output": gettext_lazy("written as"),
    "native": gettext_lazy("written as true or false, not as text"),
    "currency": gettext_lazy("currency"),
    "unmapped": gettext_lazy("a choice without an entry"),
    "default_inbound": gettext_lazy("otherwise, in the dialer"),
    "default_outbound": gettext_lazy("otherwise, in the CRM"),
    "inbound": gettext_lazy("CRM → dialer"),
    "outbound": gettext_lazy("dialer → CRM"),
    "expression": gettext_lazy("both ways"),
}
RULE_NAMES: Mapping[str, Any] = {
    "required": gettext_lazy("must not be empty"),
    "format": gettext_lazy("has the format"),
    "length": gettext_lazy("has a length"),
    "range": gettext_lazy("is a number"),
    "enum": gettext_lazy("is one of"),
}


@dataclass(frozen=True, slots=True)
class Line:
    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class RowChange:
    """`kind` is added, removed or changed; `lines` tell what, for an added row what it is."""

    field: str
    kind: str
    lines: tuple[Line, ...]

    @property
    def label(self) -> str:
        return label_of(self.field)


def changes(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[RowChange]:
    old, new = _by_field(before), _by_field(after)
    found = [_change(name, old.get(name), new.get(name)) for name in [*new, *(one for one in old if one not in new)]]
    return [one for one in found if one is not None]


def label_of(field: str) -> str:
    known = DIALER_FIELDS[ENTITY].get(field)
    return known.label if known else field.removeprefix("custom.")


def in_words(name: str, row: Mapping[str, Any]) -> str:
    """One column of a row for people; empty for nothing."""
    value = row[name]
    if name in WORDS:
        return str(WORDS[name](value))
    return _yes(value) if isinstance(value, bool) else str(value)


def _by_field(rows: Iterable[Mapping[str, Any]]) -> dict[str, Row]:
    return {row["dialer_field"]: row for row in ordered(map(canonical, rows))}


def _change(name: str, old: Row | None, new: Row | None) -> RowChange | None:
    if old is None or new is None:
        row = old or new or {}
        kind = "added" if old is None else "removed"
        told = [Line(str(NAMES[key]), "", in_words(key, row)) for key in ("crm_field", "direction", "transform")]
        return RowChange(name, kind, tuple(told if old is None else [Line(one.what, one.after, "") for one in told]))
    lines = tuple(
        Line(str(words), in_words(key, old), in_words(key, new)) for key, words in NAMES.items() if old[key] != new[key]
    )
    return RowChange(name, "changed", lines) if lines else None


def _yes(value: bool) -> str:
    return str(_("yes") if value else _("no"))


def _option(value: Any) -> str:
    return str(_("empty")) if value is None else _yes(value) if isinstance(value, bool) else str(value)


def _options(options: Mapping[str, Any]) -> str:
    parts = [f"{before} → {after}" for before, after in (options.get("map") or {}).items()]
    parts += [f"{OPTION_NAMES.get(name, name)}: {_option(value)}" for name, value in options.items() if name != "map"]
    return "; ".join(parts)


def _rules(rules: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(rule_in_words(rule) for rule in rules)


def rule_in_words(rule: Mapping[str, Any]) -> str:
    params = rule.get("params") or {}
    name = str(RULE_NAMES.get(str(rule.get("type")), rule.get("type")))
    limits = {"min": _("from %(limit)s"), "max": _("up to %(limit)s")}
    parts = [words % {"limit": params[key]} for key, words in limits.items() if params.get(key) is not None]
    parts += [", ".join(map(str, params["values"]))] if params.get("values") else []
    parts += [str(params["pattern"])] if params.get("pattern") else []
    return " ".join([name, *parts])


def _overrides(overrides: Mapping[str, str | None]) -> str:
    return "; ".join(
        f"{name}: {path}" if path is not None else _("%(object)s: not there") % {"object": name}
        for name, path in overrides.items()
    )


def _transform(rule: str) -> str:
    return str(TRANSFORMS[rule].label) if rule in TRANSFORMS else rule


WORDS: Mapping[str, Any] = {
    "direction": lambda value: dict(FieldMapping.Direction.choices).get(value, value),
    "transform": _transform,
    "options": _options,
    "strategy": lambda value: Strategy(value).label if value in Strategy.values else _("as the policy says"),
    "on_blank": lambda value: Blank(value).label if value in Blank.values else value,
    "validations": _rules,
    "object_overrides": _overrides,
}
