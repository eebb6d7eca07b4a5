"""The details of an open row as form fields: the options of each transform, the checks, the places on other objects."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mapping.editor_catalog import Catalog, choices_of
from mapping.editor_diff import OPTION_NAMES, RULE_NAMES
from mapping.editor_form import EMPTY, NOT_THERE, OTHER, SAME, EditedRow, text_of
from mapping.editor_rows import Row, engine_row_of
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
OF_TRANSFORM: Mapping[str, Sequence[tuple[str, str]]] = {
    "phone_e164": (("region", "text"), ("accept", "select")),
    "date_iso": (("dayfirst", "check"), ("output", "select")),
    "date_sfdc": (("dayfirst", "check"),),
    "boolean_checkbox": (("native", "check"),),
    "picklist_map": (("unmapped", "select"), ("default_inbound", "text"), ("default_outbound", "text")),
    "currency_cents": (("currency", "text"),),
    "custom": (("inbound", "code"), ("outbound", "code"), ("expression", "code")),
}
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
        options=[_option(one, name, kind) for name, kind in OF_TRANSFORM.get(row["transform"], ())],
        table=_table(row, crm_field, seen) if row["transform"] == "picklist_map" else None,
        rules=[_rule(one.key, place, rule) for place, rule in enumerate(row["validations"])],
        places=_places(one, catalog),
        others=_others(one),
        tried=_tried(one, tenant),
    )


def _option(one: EditedRow, name: str, kind: str) -> FormField:
    held = one.row["options"].get(name, "") if name in one.row["options"] else None
    value = "" if held is None and name not in one.row["options"] else text_of(held)
    shown = ("on" if held is True else "") if kind == "check" else value
    return FormField(
        f"{one.key}-o-{name}",
        _capital(OPTION_NAMES[name]),
        kind,
        shown,
        selected(OPTION_CHOICES.get(name, ()), value),
        str(OPTION_HELP.get(name, "")),
    )


def selected(choices: Iterable[Choice], value: str) -> list[tuple[str, str, bool]]:
    return [(key, str(words), key == value) for key, words in choices]


def _capital(words: Any) -> str:
    text = str(words)
    return text[:1].upper() + text[1:]


# --- the table of choices ---------------------------------------------------------------------------------------------


def _table(row: Row, crm_field: CrmField | None, seen: Sequence[str]) -> Table:
    table = row["options"].get("map") or {}
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


def _rule(key: str, place: int, rule: Mapping[str, Any]) -> list[FormField]:
    name, params = f"{key}-v{place}", rule.get("params") or {}
    kinds = [("", _("(remove this check)")), *((kind, _capital(words)) for kind, words in RULE_NAMES.items())]
    kind = str(rule.get("type") or "")
    found = [
        FormField(f"{name}-type", _("Check %(number)d") % {"number": place + 1}, "select", kind, selected(kinds, kind))
    ]
    if kind in ("length", "range"):
        found += [
            FormField(f"{name}-{limit}", words, "text", "" if params.get(limit) is None else str(params[limit]))
            for limit, words in (("min", _("From")), ("max", _("Up to")))
        ]
    if kind == "format":
        found.append(
            FormField(
                f"{name}-pattern", _("Pattern"), "text", str(params.get("pattern", "")), help=_("A regular expression.")
            )
        )
        found.append(FormField(f"{name}-flags", _("Flags"), "text", str(params.get("flags", ""))))
    if kind == "enum":
        lines = "\n".join(map(text_of, params.get("values") or ()))
        found.append(FormField(f"{name}-values", _("Values, one a line"), "lines", lines))
    found.append(
        FormField(f"{name}-message", _("What to say when it fails"), "text", str(rule.get("errorMessage") or ""))
    )
    return found


def _places(one: EditedRow, catalog: Catalog) -> list[list[FormField]]:
    """Where the field lives on the CRM's other objects for people."""
    found: list[list[FormField]] = []
    for place, name in enumerate(catalog.objects):
        if name == one.row["crm_object"]:
            continue
        overrides = one.row["object_overrides"]
        how = SAME if name not in overrides else NOT_THERE if overrides[name] is None else OTHER
        ways = [(SAME, _("in the same field")), (OTHER, _("in another field:")), (NOT_THERE, _("not at all"))]
        select = FormField(
            f"{one.key}-on{place}", _("On %(object)s") % {"object": name}, "select", how, selected(ways, how)
        )
        path = FormField(
            f"{one.key}-on{place}-path",
            _("Field on %(object)s") % {"object": name},
            "text",
            overrides.get(name) or "",
            suggestions="crm-fields",
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
