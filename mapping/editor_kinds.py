"""Whether a dialer field and a CRM field go together: their types, their choices, their lengths. Pure.

Each is told as (level, part of the row, sentence that says what to do).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from mapping.editor_catalog import choices_of
from mapping.fields import DialerField
from mapping.models import CrmField

Said = tuple[str, str, str]
ERROR, WARNING, NOTE = "error", "warning", "note"

NUMBERS, MOMENTS, FLAGS = {"integer", "number"}, {"date", "datetime"}, {"boolean"}
TEXTS = {"string", "text", "email", "phone", "picklist", "any"}
LISTS = {"list", "multipicklist"}
LINKS = {"user", "reference"}
FEW_CHOICES = 12
_FAMILIES: tuple[tuple[str, set[str]], ...] = (
    ("number", NUMBERS),
    ("moment", MOMENTS),
    ("flag", FLAGS),
    ("list", LISTS),
    ("link", LINKS),
)
_GIVES: Mapping[str, str] = {
    "phone_e164": "text",
    "lowercase": "text",
    "date_iso": "moment",
    "date_sfdc": "moment",
    "boolean_yn": "text",
    "boolean_checkbox": "flag",
    "currency_cents": "number",
}
"""What a transform writes into the CRM."""
_TAKES: Mapping[str, str] = {
    "date_iso": "moment",
    "date_sfdc": "moment",
    "boolean_yn": "flag",
    "boolean_checkbox": "flag",
    "currency_cents": "number",
}
"""What kind of dialer field it is for."""


def family(kind: str) -> str:
    """text, number, moment, flag, list or link."""
    return next((name for name, kinds in _FAMILIES if kind in kinds), "text")


def kind_findings(row: Mapping[str, Any], ours: DialerField, field: CrmField) -> Iterator[Said]:
    transform = row["transform"]
    if transform == "picklist_map":
        yield from _table(row, field)
        return
    if transform == "custom":
        return
    yield from _transform(transform, ours)
    if row["direction"] != "inbound":
        yield from _written(transform, ours, field)
        yield from _length(row, ours, field)
    if row["direction"] != "outbound" and transform == "none":
        yield from _read(ours, field)


def _transform(transform: str, ours: DialerField) -> Iterator[Said]:
    wanted = _TAKES.get(transform)
    if wanted and ours.kind != "any" and family(ours.kind) != wanted:
        words = {"field": ours.label, "kind": kind_name(ours.kind)}
        text = _("This transform doesn't go with %(field)s, which holds %(kind)s. Choose another transform.")
        yield WARNING, "transform", text % words


def _written(transform: str, ours: DialerField, field: CrmField) -> Iterator[Said]:
    given, wanted = _GIVES.get(transform) or family(ours.kind), family(field.kind)
    words = {"ours": kind_name(ours.kind), "theirs": kind_name(field.kind), "field": field.label}
    if ours.kind == "any" and transform == "none":
        return
    if wanted == "link" and field.kind == "user":
        if ours.kind != "email":
            text = _(
                "%(field)s is one of the CRM's users, who is named by the e-mail address. Choose the owner's e-mail."
            )
            yield ERROR, "crm_field", text % words
    elif wanted == "link":
        text = _(
            "%(field)s is a link to another record and can't be written. Choose the direction CRM → dialer, or another field."
        )
        yield ERROR, "crm_field", text % words
    elif wanted == "text" and field.kind == "picklist" and transform == "none" and given == "text":
        if choices_of(field):
            text = _(
                "%(field)s takes only its own choices. Choose the transform “Table of choices”, else others are refused."
            )
            yield WARNING, "transform", text % words
    elif wanted not in ("text", given) and not (given == "text" and wanted == "list"):
        text = _(
            "%(field)s takes %(theirs)s, and this row sends %(ours)s: the CRM will refuse it. Choose another field or a transform."
        )
        yield ERROR, "transform", text % words
    elif ours.kind == "datetime" and field.kind == "date" and transform == "none":
        text = _("%(field)s takes a day without a time. Choose the transform “Date”.")
        yield WARNING, "transform", text % words


def _read(ours: DialerField, field: CrmField) -> Iterator[Said]:
    wanted, given = family(ours.kind), family(field.kind)
    if ours.kind == "any" or wanted == given or (wanted == "text" and given in ("number", "moment")) or given == "link":
        return
    words = {"ours": kind_name(ours.kind), "theirs": kind_name(field.kind), "field": field.label, "name": ours.label}
    text = _("%(field)s holds %(theirs)s, and %(name)s needs %(ours)s: other values are left out. Choose a transform.")
    yield WARNING, "transform", text % words


def _length(row: Mapping[str, Any], ours: DialerField, field: CrmField) -> Iterator[Said]:
    limit = field.max_length
    if not limit or family(ours.kind) != "text" or ours.kind in {"phone", "any"}:
        return
    ruled = [
        rule["params"].get("max") for rule in row["validations"] if rule.get("type") == "length" and rule.get("params")
    ]
    most = min([one for one in [ours.length_limit, *ruled] if isinstance(one, int)], default=None)
    if most is not None and most > limit:
        text = _("%(field)s takes at most %(limit)s characters, and %(name)s may have %(most)s: longer ones are refused. "
                 "Add the check “length, up to %(limit)s” to hear of it here first.")  # fmt: skip
        yield WARNING, "validations", text % {"field": field.label, "limit": limit, "name": ours.label, "most": most}


# --- tables of choices ------------------------------------------------------------------------------------------------


def _table(row: Mapping[str, Any], field: CrmField) -> Iterator[Said]:
    choices = choices_of(field)
    table = row["options"].get("map") or {}
    if not choices or not isinstance(table, Mapping):
        return
    known = {value for value, _label in choices}
    if row["direction"] != "inbound":
        lost = [str(value) for value in table.values() if str(value) not in known]
        if lost:
            text = _("%(field)s has no choice %(lost)s. Choose one that the CRM has for each entry of the table.")
            yield ERROR, "options", text % {"field": field.label, "lost": few(lost)}
    if row["direction"] != "outbound" and _refuses(row["options"]):
        missing = [label for value, label in choices if value not in {str(one) for one in table.values()}]
        if missing:
            text = _("The CRM's choices %(missing)s have no entry: records with them keep their old value here. "
                     "Add entries, or say what becomes of a choice without one.")  # fmt: skip
            yield WARNING, "options", text % {"missing": few(missing)}


def _refuses(options: Mapping[str, Any]) -> bool:
    return options.get("unmapped", "error") == "error" and "default_inbound" not in options


def few(names: list[str]) -> str:
    shown = ", ".join(f"“{name}”" for name in dict.fromkeys(names[:FEW_CHOICES]))
    return (
        shown
        if len(names) <= FEW_CHOICES
        else _("%(names)s and %(count)d more") % {"names": shown, "count": len(names) - FEW_CHOICES}
    )


def kind_name(kind: str) -> str:
    """For the middle of a sentence."""
    names = {
        "string": _("text"),
        "text": _("long text"),
        "email": _("an e-mail address"),
        "phone": _("a phone number"),
        "integer": _("a whole number"),
        "number": _("a number"),
        "boolean": _("yes or no"),
        "date": _("a day"),
        "datetime": _("a date with time"),
        "picklist": _("one of some choices"),
        "multipicklist": _("several choices"),
        "user": _("a user of the CRM"),
        "reference": _("a link to another record"),
        "list": _("a list"),
        "any": _("any value"),
    }
    return names.get(kind, kind)
