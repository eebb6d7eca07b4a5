"""The details of an open row as form fields: the options of each transform, the checks, the places on other objects."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.form_texts import EMPTY, text_of
from mapping.editor_catalog import Catalog, choices_of
from mapping.editor_diff import OPTION_NAMES, RULE_NAMES
from mapping.editor_form import (
    CODE_OPTIONS,
    FLAG_OPTIONS,
    NOT_THERE,
    OF_RULE,
    OF_TRANSFORM,
    OTHER,
    SAME,
    EditedRow,
)
from mapping.editor_rows import engine_row_of
from mapping.expressions import JsboxRuntime
from mapping.models import Blank, CrmField, Strategy
from mapping.transforms import TRANSFORMS, Context, TransformError

Choice = tuple[str, Any]


@dataclass(frozen=True)
class FormField:
    """One field of the form. `kind`: select, text, check, code or lines."""

    name: str
    label: str
    kind: str
    value: str = ""
    choices: Sequence[tuple[str, str, bool]] = ()
    help: str = ""
    suggestions: str = ""
    """Id of the list that the browser suggests from."""


@dataclass(frozen=True)
class Pair:
    """One line of a table of choices."""

    ours: str
    theirs: str
    choices: Sequence[tuple[str, str, bool]] = ()
    mark: str = ""
    """What is the matter with it, in words."""


@dataclass(frozen=True)
class Table:
    pairs: Sequence[Pair]
    without: Sequence[str]
    """Labels of the CRM's choices that no entry has."""
    is_free: bool
    """The CRM's choices are not known, so they are written."""


@dataclass(frozen=True)
class Details:
    """Everything that an open row shows."""

    options: Sequence[FormField] = ()
    table: Table | None = None
    rules: Sequence[Sequence[FormField]] = ()
    places: Sequence[Sequence[FormField]] = ()
    others: Sequence[FormField] = ()
    tried: Sequence[tuple[str, str, bool]] = field(default=())
    """(direction in words, result, whether it is a problem) of the value that was tried."""


OPTION_CHOICES: Mapping[str, Sequence[Choice]] = {
    "accept": (("", gettext_lazy("valid numbers only")), ("possible", gettext_lazy("numbers of a possible length"))),
    "output": (
        ("", gettext_lazy("2024-01-15T20:49:32Z")),
        ("date", gettext_lazy("2024-01-15")),
        ("epoch_ms", gettext_lazy("milliseconds since 1970")),
    ),
    "unmapped": (
        ("", gettext_lazy("is refused: the old value stays, and somebody hears of it")),
        ("pass", gettext_lazy("goes through as it is")),
        ("blank", gettext_lazy("becomes empty")),
    ),
}
KIND_OF: Mapping[str, str] = {
    **dict.fromkeys(("accept", "output", "unmapped"), "select"),
    **dict.fromkeys(FLAG_OPTIONS, "check"),
    **dict.fromkeys(CODE_OPTIONS, "code"),
}
"""What an option is filled in with, unless it is text."""
OPTION_HELP: Mapping[str, Any] = {
    "region": gettext_lazy("Such as US or GB, for numbers without a country code. Empty: the tenant's country."),
    "currency": gettext_lazy("Such as USD or JPY. Empty: USD."),
    "default_inbound": gettext_lazy("What the dialer gets for a choice without an entry. Empty: as chosen above."),
    "default_outbound": gettext_lazy("What the CRM gets for a choice without an entry. Empty: as chosen above."),
    "inbound": gettext_lazy("JavaScript with value and record, such as value.trim()."),
    "outbound": gettext_lazy("JavaScript with value and record, such as value.toUpperCase()."),
    "expression": gettext_lazy("For a direction that has none of its own."),
}
LONGEST_TRIED = 400


def details(one: EditedRow, catalog: Catalog, seen: Sequence[str], tenant: Any) -> Details:
    """`seen` are values that the dialer holds in this field."""
    row = one.row
    crm_field = catalog.on(row["crm_object"], row["crm_field"])
    return Details(
        options=[option_field(one.key, row["options"], name) for name in OF_TRANSFORM.get(row["transform"], ())],
        table=table_of(row["options"], crm_field, seen) if row["transform"] == "picklist_map" else None,
        rules=[rule_fields(one.key, place, rule) for place, rule in enumerate(row["validations"])],
        places=place_fields(one.key, row["object_overrides"], catalog.objects, row["crm_object"]),
        others=_others(one),
        tried=_tried(one, tenant),
    )


def option_field(key: str, options: Mapping[str, Any], name: str) -> FormField:
    kind, held = KIND_OF.get(name, "text"), options.get(name)
    value = text_of(held) if name in options else ""
    return FormField(
        f"{key}-o-{name}",
        _capital(OPTION_NAMES[name]),
        kind,
        ("on" if held is True else "") if kind == "check" else value,
        selected(OPTION_CHOICES.get(name, ()), value),
        str(OPTION_HELP.get(name, "")),
    )


def selected(choices: Iterable[Choice], value: str) -> list[tuple[str, str, bool]]:
    return [(key, str(words), key == value) for key, words in choices]


def _capital(words: Any) -> str:
    text = str(words)
    return text[:1].upper() + text[1:]


# --- the table of choices ---------------------------------------------------------------------------------------------


def table_of(options: Mapping[str, Any], crm_field: CrmField | None, seen: Sequence[str] = ()) -> Table:
    table = options.get("map") or {}
    held = [(str(ours), text_of(theirs)) for ours, theirs in table.items()] if isinstance(table, Mapping) else []
    known = choices_of(crm_field)
    mapped = {ours.casefold() for ours, _theirs in held}
    pairs = [_pair(ours, theirs, known) for ours, theirs in held]
    pairs += [
        Pair(value, "", _crm_choices(known, ""), _("no entry yet"))
        for value in seen
        if value.casefold() not in mapped and value != EMPTY
    ]
    pairs.append(Pair("", "", _crm_choices(known, "")))
    used = {theirs for _ours, theirs in held}
    return Table(pairs, [label for value, label in known if value not in used], not known)


def _pair(ours: str, theirs: str, known: Sequence[tuple[str, str]]) -> Pair:
    lost = bool(known) and theirs not in {value for value, _label in known}
    return Pair(ours, theirs, _crm_choices(known, theirs), _("not a choice in the CRM") if lost else "")


def _crm_choices(known: Sequence[tuple[str, str]], chosen: str) -> list[tuple[str, str, bool]]:
    named = [(value, label if label == value else f"{label} ({value})") for value, label in known]
    extra = [(chosen, chosen)] if chosen and chosen not in {value for value, _label in known} else []
    return selected([("", _("(none)")), *extra, *named], chosen)


# --- checks and places ------------------------------------------------------------------------------------------------


def rule_fields(key: str, place: int, rule: Mapping[str, Any], *, whole: bool = False) -> list[FormField]:
    """The kind of check, what this kind takes, and what to say. `whole`: what any kind takes."""
    name, params, kind = f"{key}-v{place}", rule.get("params") or {}, str(rule.get("type") or "")
    kinds = [
        ("", _("(remove this check)") if kind else "–"),
        *((one, _capital(words)) for one, words in RULE_NAMES.items()),
    ]
    parts = dict.fromkeys(part for one in OF_RULE.values() for part in one) if whole else OF_RULE.get(kind, ())
    return [
        FormField(f"{name}-type", _("Check %(number)d") % {"number": place + 1}, "select", kind, selected(kinds, kind)),
        *(_rule_field(f"{name}-{part}", part, params.get(part)) for part in parts),
        FormField(f"{name}-message", _("What to say when it fails"), "text", str(rule.get("errorMessage") or "")),
    ]


def _rule_field(name: str, part: str, value: Any) -> FormField:
    if part == "values":
        return FormField(name, _("Values, one a line"), "lines", "\n".join(map(text_of, value or ())))
    words = {"min": _("From"), "max": _("Up to"), "pattern": _("Pattern"), "flags": _("Flags")}
    hint = _("A regular expression.") if part == "pattern" else ""
    return FormField(name, words[part], "text", "" if value is None else str(value), help=hint)


def place_fields(
    key: str, overrides: Mapping[str, str | None], crm_objects: Sequence[str], own: str, suggestions: str = "crm-fields"
) -> list[list[FormField]]:
    """Where the field lives on the CRM's other objects for people. `own`: the object that the row is for."""
    found: list[list[FormField]] = []
    ways = [(SAME, _("in the same field")), (OTHER, _("in another field:")), (NOT_THERE, _("not at all"))]
    for place, name in enumerate(crm_objects):
        if name == own:
            continue
        how = SAME if name not in overrides else NOT_THERE if overrides[name] is None else OTHER
        words = _("On %(object)s") % {"object": name}
        field_words = _("Field on %(object)s") % {"object": name}
        select = FormField(f"{key}-on{place}", words, "select", how, selected(ways, how))
        path = FormField(
            f"{key}-on{place}-path", field_words, "text", overrides.get(name) or "", suggestions=suggestions
        )
        found.append([select, path])
    return found


def _others(one: EditedRow) -> list[FormField]:
    row, key = one.row, one.key
    strategies = [("", _("as the conflict policy says")), *Strategy.choices]
    return [
        FormField(f"{key}-active", _("Switched on"), "check", "on" if row["active"] else ""),
        FormField(
            f"{key}-required",
            _("Required: a record without it is told as a problem"),
            "check",
            "on" if row["required"] else "",
        ),
        _select(f"{key}-strategy", _("When both sides changed it"), row["strategy"], strategies),
        _select(f"{key}-on_blank", _("An empty value"), row["on_blank"], Blank.choices),
    ]


def _select(name: str, label: str, value: str, choices: Iterable[Choice]) -> FormField:
    return FormField(name, label, "select", value, selected(choices, value))


# --- trying a value ---------------------------------------------------------------------------------------------------


def _tried(one: EditedRow, tenant: Any) -> list[tuple[str, str, bool]]:
    """The transform on a value that a person typed, in the directions that the row has. Expressions run in their own process."""
    if not one.tried or one.row["transform"] not in TRANSFORMS:
        return []
    directions = {"inbound": _("In the dialer"), "outbound": _("In the CRM")}
    only = {"inbound": ["inbound"], "outbound": ["outbound"]}.get(one.row["direction"], list(directions))
    runtime = JsboxRuntime()
    try:
        context = Context(tenant.region, tenant.timezone, runtime)
        return [(directions[way], *_converted(one, way, context)) for way in only]
    finally:
        runtime.close()


def _converted(one: EditedRow, way: str, context: Context) -> tuple[str, bool]:
    row = engine_row_of(one.row)
    transform = TRANSFORMS[row.transform]
    convert = transform.inbound if way == "inbound" else transform.outbound
    try:
        return text_of(convert(one.tried[:LONGEST_TRIED], row.options or {}, context)), False
    except TransformError as error:
        return str(error), True
    except (KeyError, AttributeError, TypeError):
        return _("The options of this transform are not complete."), True
