"""The form for another value than either side's, checked as if the dialer had sent it.

What is asked for has the shape of what the sides hold: one line of text, a number, yes or no, a list with one value per line, or a
table of names and values. Only what is nested deeper has to be written as JSON.
"""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_forms import JsonText, Select, Textarea, TextInput
from integrations.admin_html import plain
from integrations.admin_pairs import PairsField
from integrations.form_texts import by_text, text_of
from mapping.fields import field_name
from sync.models import Conflict
from sync.serializers import ContactWrite, dialer_values
from sync.values import storable

KEY = {"autocomplete": "off", "data-key": "3"}
"""The key that leads to the field on the desk."""
YES_NO = [("", "–"), ("true", gettext_lazy("yes")), ("false", gettext_lazy("no"))]


class OtherValueForm(forms.Form):
    value: Any = forms.Field()

    def __init__(self, conflict: Conflict, data: Any = None) -> None:
        super().__init__(data)
        self.conflict = conflict
        sides = [one for one in (conflict.ours, conflict.theirs) if one not in (None, "")]
        made = _field(sides or [conflict.base])
        made.required = False
        made.label = field_name(conflict.field)
        made.initial = conflict.ours
        made.widget.attrs.update(KEY)
        self.fields["value"] = made
        if data is not None and self.errors:
            made.widget.attrs["autofocus"] = True

    def clean_value(self) -> Any:
        name, value = self.conflict.field, self.cleaned_data["value"]
        if name not in ContactWrite().fields:
            return None if value in ("", [], {}) else storable(value)
        checked = ContactWrite(data={name: value}, context={"region": self.conflict.tenant.region})
        if not checked.is_valid():
            raise forms.ValidationError([str(one) for one in checked.errors[name]])
        return dialer_values(checked.validated_data)[name]


def _field(sides: list[Any]) -> forms.Field:
    """The field for a value like these."""
    if any(isinstance(one, list) for one in sides):
        values = [value for one in sides for value in (one if isinstance(one, list) else [one])]
        return LinesField(values) if all(map(_fits_a_line, values)) else JsonText(widget=Textarea)
    if any(isinstance(one, Mapping) for one in sides):
        flat = all(isinstance(one, Mapping) and all(map(_is_scalar, one.values())) for one in sides)
        return TableField(sides) if flat else JsonText(widget=Textarea)
    if sides and all(isinstance(one, bool) for one in sides):
        return forms.TypedChoiceField(
            choices=YES_NO, coerce=lambda text: text == "true", empty_value=None, widget=YesNoSelect
        )
    return LineField(sides)


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, list | Mapping)


def _fits_a_line(value: Any) -> bool:
    return _is_scalar(value) and not (
        isinstance(value, str) and ("\n" in value or "\r" in value or value != value.strip())
    )


class YesNoSelect(Select):
    def format_value(self, value: Any) -> Any:
        return super().format_value(text_of(value) if isinstance(value, bool) else value)


class LineField(forms.CharField):
    """One text, or one number where the sides hold numbers. What they hold keeps its type."""

    widget = TextInput

    def __init__(self, sides: list[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.held = by_text(sides)
        self.numeric = bool(sides) and all(map(_is_number, sides))

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else text_of(value)

    def clean(self, value: Any) -> Any:
        return _typed(super().clean(value), self.held, numeric=self.numeric)


class LinesField(forms.CharField):
    """A list, one value per line; lines without anything are left out."""

    widget = Textarea

    def __init__(self, values: list[Any], **kwargs: Any) -> None:
        super().__init__(help_text=_("One value per line."), **kwargs)
        self.held = by_text(values)
        self.numeric = bool(values) and all(map(_is_number, values))
        self.widget.attrs["rows"] = 4

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, list):
            return "\n".join(map(text_of, value))
        return "" if value is None else text_of(value)

    def clean(self, value: Any) -> list[Any]:
        lines = [(number, line.strip()) for number, line in enumerate(super().clean(value).splitlines(), 1)]
        found, wrong = [], []
        for number, line in lines:
            try:
                found += [_typed(line, self.held, numeric=self.numeric)] if line else []
            except forms.ValidationError as error:
                wrong.append(_("Line %(number)d: %(problem)s") % {"number": number, "problem": error.message})
        if wrong:
            raise forms.ValidationError(wrong)
        return found


class TableField(PairsField):
    """Names and values. A value that either side holds under that name keeps its type."""

    def __init__(self, sides: list[Mapping[str, Any]]) -> None:
        super().__init__((_("Name"), _("Value")))
        self.sides = sides

    def to_python(self, value: Any) -> dict[str, Any]:
        told = super().to_python(value)
        return {
            name: by_text(one[name] for one in self.sides if name in one).get(text, text) for name, text in told.items()
        }


def _typed(text: str, held: Mapping[str, Any], *, numeric: bool) -> Any:
    if text in held:
        return held[text]
    if not numeric or not text:
        return text
    try:
        return int(text) if text.lstrip("+-").isdigit() else _finite(text)
    except ValueError as error:
        raise forms.ValidationError(_("“%(text)s” is no number.") % {"text": text}) from error


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:  # infinite, or none at all
        raise ValueError(text)
    return number


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def plain_text(value: Any) -> str:
    """A side's value as text to compare: a list stands in lines, as it is written in the form."""
    if isinstance(value, list) and all(map(_is_scalar, value)):
        return "\n".join(map(text_of, value))
    return "" if value is None else plain(value)
