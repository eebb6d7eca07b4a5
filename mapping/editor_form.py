"""The editor's form: from what a browser sends to rows, and back. Nothing is checked here but the shape (see editor_checks).

A row that is closed carries what it does not show as JSON in a hidden field; an open one has a form field for everything. So a
mapping of many rows stays a small page, and values keep their JSON type where nobody changed them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import QueryDict

from integrations.form_texts import EMPTY, by_text, text_of
from mapping.editor_rows import Row, canonical, new_row
from mapping.models import Blank, FieldMapping, Strategy
from mapping.transforms import TRANSFORMS

HIDDEN = ("crm_object", "options", "required", "validations", "object_overrides", "on_blank", "strategy", "active")
"""What of a row only its open form shows."""
NEED_OPTIONS = ("picklist_map", "custom")
"""Transforms that do nothing before somebody has said how."""
TEXT_OPTIONS = ("region", "accept", "output", "currency", "unmapped", "default_inbound", "default_outbound")
FLAG_OPTIONS = ("dayfirst", "native")
CODE_OPTIONS = ("inbound", "outbound", "expression")
OF_TRANSFORM: Mapping[str, Sequence[str]] = {
    "phone_e164": ("region", "accept"),
    "date_iso": ("dayfirst", "output"),
    "date_sfdc": ("dayfirst",),
    "boolean_checkbox": ("native",),
    "picklist_map": ("unmapped", "default_inbound", "default_outbound"),
    "currency_cents": ("currency",),
    "custom": CODE_OPTIONS,
}
OF_RULE: Mapping[str, Sequence[str]] = {
    "length": ("min", "max"), "range": ("min", "max"), "format": ("pattern", "flags"), "enum": ("values",),
}  # fmt: skip
"""What a kind of check takes, besides what to say."""
MOST_ROWS = 500
MOST_RULES = 20
SAME, OTHER, NOT_THERE = "same", "other", "none"
"""Where a field lives on another object of the CRM."""


@dataclass(frozen=True)
class EditedRow:
    """One row on the page. `key` names its form fields; `was` is the dialer field of the row in force that it came from."""

    key: str
    row: Row
    was: str = ""
    removed: bool = False
    open: bool = False
    tried: str = ""
    """A value that a person wants to see converted."""


@dataclass(frozen=True)
class Edited:
    """The whole form as it was sent."""

    rows: list[EditedRow] = field(default_factory=list)
    revision: int = 0
    based_on: int = 0

    @property
    def kept(self) -> list[EditedRow]:
        return [one for one in self.rows if not one.removed]

    @property
    def plain(self) -> list[Row]:
        return [one.row for one in self.kept]

    def with_row(self, key: str, change: Callable[[EditedRow], EditedRow]) -> "Edited":
        return replace(self, rows=[change(one) if one.key == key else one for one in self.rows])


def shown(rows: Sequence[Row], *, revision: int, based_on: int) -> Edited:
    made = [EditedRow(str(number), row, was=row["dialer_field"]) for number, row in enumerate(rows)]
    return Edited(made, revision, based_on)


def read(data: QueryDict, crm_objects: Sequence[str]) -> Edited:
    """What was sent; shapes that no page of ours sends are read as nothing."""
    keys = [key for key in data.getlist("row") if key.isdigit()][:MOST_ROWS]
    rows = [_read_row(data, key, crm_objects) for key in dict.fromkeys(keys)]
    return Edited(rows, _number(data.get("revision")), _number(data.get("based_on")))


def added(edited: Edited, crm_object: str, dialer_field: str = "", crm_field: str = "") -> tuple[Edited, str]:
    """With another row, open and at the end; and its key."""
    key = str(max((int(one.key) for one in edited.rows), default=-1) + 1)
    row = EditedRow(key, new_row(crm_object, dialer_field, crm_field), open=True)
    return replace(edited, rows=[*edited.rows, row]), key


# --- one row --------------------------------------------------------------------------------------------------------


def _read_row(data: QueryDict, key: str, crm_objects: Sequence[str]) -> EditedRow:
    def sent(name: str) -> str:
        return str(data.get(f"{key}-{name}", "")).strip()

    held = _held(sent("rest"), crm_objects)
    row = {
        **held,
        "dialer_field": sent("dialer_field"),
        "crm_field": sent("crm_field"),
        "direction": _one_of(sent("direction"), FieldMapping.Direction.values, "bidirectional"),
        "transform": _one_of(sent("transform"), list(TRANSFORMS), "none"),
    }
    is_open = bool(sent("open"))
    if is_open:
        row |= _opened(data, key, held, crm_objects)
    if row["transform"] != sent("shown"):
        row["options"] = {"map": {}} if row["transform"] == "picklist_map" else {}
        is_open = is_open or row["transform"] in NEED_OPTIONS
    return EditedRow(key, canonical(row), sent("was"), bool(sent("removed")), is_open, sent("try"))


def hidden_part(row: Row) -> str:
    """What `_held` reads again."""
    return json.dumps({name: row[name] for name in HIDDEN}, ensure_ascii=False)


def _held(text: str, crm_objects: Sequence[str]) -> Row:
    usual = new_row(crm_objects[0])
    try:
        held = json.loads(text or "{}")
    except ValueError:
        held = {}
    given = held if isinstance(held, dict) else {}
    kept = {name: given[name] for name in HIDDEN if name in given and isinstance(given[name], type(usual[name]))}
    kept["validations"] = [rule for rule in kept.get("validations", []) if isinstance(rule, dict)]
    return {**usual, **kept}


def _opened(data: QueryDict, key: str, held: Row, crm_objects: Sequence[str]) -> Row:
    def sent(name: str) -> str:
        return str(data.get(f"{key}-{name}", "")).strip()

    crm_object = _one_of(sent("crm_object"), crm_objects, held["crm_object"])
    return {
        "crm_object": crm_object,
        "options": read_options(data, key, sent("shown"), held["options"]),
        "required": bool(sent("required")),
        "active": bool(sent("active")),
        "strategy": _one_of(sent("strategy"), Strategy.values, ""),
        "on_blank": _one_of(sent("on_blank"), Blank.values, Blank.CLEAR.value),
        "validations": read_rules(data, key, held["validations"]),
        "object_overrides": read_overrides(data, key, held["object_overrides"], crm_object, crm_objects),
    }


def read_options(data: QueryDict, key: str, transform: str, held: Mapping[str, Any]) -> dict[str, Any]:
    sent = _options(data, key, transform, held)
    own = {name: value for name, value in sent.items() if name == "map" or name in OF_TRANSFORM.get(transform, ())}
    return dict(_unless_same(held, own, _said))


def read_rules(data: QueryDict, key: str, held: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return list(_unless_same(held, _rules(data, key), _rules_said))


def read_overrides(
    data: QueryDict, key: str, held: Mapping[str, str | None], crm_object: str, crm_objects: Sequence[str]
) -> dict[str, str | None]:
    found = {name: path for name, path in held.items() if name not in crm_objects}
    for place, name in enumerate(crm_objects):
        how, path = str(data.get(f"{key}-on{place}", "")), str(data.get(f"{key}-on{place}-path", "")).strip()
        if name == crm_object or how in ("", SAME):
            continue
        found[name] = None if how == NOT_THERE else path
    return found


def _unless_same(held: Any, sent: Any, said: Callable[[Any], Any]) -> Any:
    """What is held, unless the form says something else: the same may be written in several ways."""
    return held if said(held) == said(sent) else sent


def _said(options: Mapping[str, Any]) -> Any:
    named = {name: value for name, value in options.items() if value is not False}
    return {name: dict(value) if name == "map" else text_of(value) for name, value in named.items()}


def _rules_said(rules: Sequence[Mapping[str, Any]]) -> Any:
    return [(rule.get("type"), _texts(rule.get("params") or {}), str(rule.get("errorMessage") or "")) for rule in rules]


def _texts(params: Mapping[str, Any]) -> Any:
    return {
        name: [text_of(one) for one in value] if isinstance(value, list | tuple) else text_of(value)
        for name, value in params.items()
        if value is not None
    }


# --- options --------------------------------------------------------------------------------------------------------


def _options(data: QueryDict, key: str, transform: str, held: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the transform whose form fields were shown. Empty ones are left to their defaults."""

    def sent(name: str) -> str:
        return str(data.get(f"{key}-o-{name}", "")).strip()

    known = by_text(_scalars(held))
    found: dict[str, Any] = {}
    if transform == "picklist_map":
        pairs = zip(data.getlist(f"{key}-map-ours"), data.getlist(f"{key}-map-theirs"), strict=False)
        named = [(ours.strip(), theirs.strip()) for ours, theirs in pairs]
        found["map"] = {ours: known.get(theirs, theirs) for ours, theirs in named if ours and theirs}
    found |= {name: known.get(sent(name), sent(name)) for name in TEXT_OPTIONS if sent(name)}
    found |= {name: True for name in FLAG_OPTIONS if sent(name)}
    found |= {name: sent(name) for name in CODE_OPTIONS if sent(name)}
    for name in ("default_inbound", "default_outbound"):
        if found.get(name) == EMPTY:
            found[name] = None
    return found


def _scalars(options: Mapping[str, Any]) -> list[Any]:
    table = options.get("map")
    inner = list(table.values()) if isinstance(table, Mapping) else []
    return [*inner, *(one for one in options.values() if isinstance(one, str | int | float | bool))]


# --- checks ---------------------------------------------------------------------------------------------------------


def _rules(data: QueryDict, key: str) -> list[dict[str, Any]]:
    count = min(_number(data.get(f"{key}-rules")), MOST_RULES)
    found = [_rule(data, f"{key}-v{place}") for place in range(count)]
    return [rule for rule in found if rule["type"]]


def _rule(data: QueryDict, name: str) -> dict[str, Any]:
    def sent(part: str) -> str:
        return str(data.get(f"{name}-{part}", "")).strip()

    kind = sent("type")
    params: dict[str, Any] = {}
    if kind in ("length", "range"):
        params = {limit: _limit(sent(limit), kind) for limit in ("min", "max") if sent(limit)}
    if kind == "format":
        params = {part: sent(part) for part in ("pattern", "flags") if sent(part)}
    if kind == "enum":
        params = {"values": [line.strip() for line in sent("values").splitlines() if line.strip()]}
    return {"type": kind, "params": params, "errorMessage": sent("message")}


def _limit(text: str, kind: str) -> Any:
    """A number where it is one; what is none is told by the check of the rules."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return text if kind == "length" else float(text)
    except ValueError:
        return text


def _one_of(value: str, allowed: Sequence[str], otherwise: str) -> str:
    return value if value in allowed else otherwise


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0
