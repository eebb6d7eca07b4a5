"""A small table of names and values as a form field, where the column holds a JSON object.

It works without JavaScript: some lines are empty, and saving brings more; with it a button adds a line.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms
from django.http import QueryDict
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from integrations.form_texts import text_of

Choices = Sequence[tuple[str, Any]]
SPARE = 2
MOST = 200


class PairsInput(forms.Widget):
    """`heads` name both columns. With `choices` the values are chosen, else written."""

    def __init__(self, heads: tuple[Any, Any], suggestions: Choices = (), choices: Choices = ()) -> None:
        super().__init__()
        self.heads = heads
        self.suggestions = suggestions
        self.choices = choices

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        told = list(value.items()) if isinstance(value, Mapping) else list(value or ())
        told = [(str(key), text_of(one) if not isinstance(one, str) else one) for key, one in told]
        context = {
            "name": name,
            "id": (attrs or {}).get("id", f"id_{name}"),
            "heads": self.heads,
            "lines": [*told, *[("", "")] * SPARE],
            "suggestions": self.suggestions,
            "choices": self.choices,
        }
        return mark_safe(render_to_string("admin/pairs.html", context))  # noqa: S308 - a template of ours, which escapes

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[tuple[str, str]]:
        keys, values = _all(data, f"{name}-key"), _all(data, f"{name}-value")
        pairs = [(key.strip(), value.strip()) for key, value in zip(keys, values, strict=False)]
        return [pair for pair in pairs[:MOST] if any(pair)]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False  # a table without a line is an empty one


class PairsField(forms.Field):
    """Cleans to a dict. A line without a value is left out; an unchanged value keeps the type that it was held in."""

    def __init__(
        self, heads: tuple[Any, Any], *, suggestions: Choices = (), choices: Choices = (), **kwargs: Any
    ) -> None:
        super().__init__(widget=PairsInput(heads, suggestions, choices), **kwargs)
        self.held: Mapping[str, Any] = {}
        """What is stored now."""

    def suggest(self, suggestions: Iterable[tuple[str, Any]]) -> None:
        self.widget.suggestions = list(suggestions)

    def to_python(self, value: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, text in value or ():
            if not key:
                raise forms.ValidationError(_("Say what “%(value)s” is for, or empty its line.") % {"value": text})
            if key in found:
                raise forms.ValidationError(_("%(name)s stands there twice.") % {"name": key})
            if key in self.held and text == text_of(self.held[key]):
                found[key] = self.held[key]
            elif text:
                found[key] = text
        return found

    def validate(self, value: Any) -> None:
        super().validate(value)
        known = {str(one) for one, _words in self.widget.choices}
        wrong = [str(one) for one in value.values() if known and one not in known]
        if wrong:
            raise forms.ValidationError(_("%(names)s: choose one of the list.") % {"names": ", ".join(wrong)})

    def has_changed(self, initial: Any, data: Any) -> bool:
        before = initial.items() if isinstance(initial, Mapping) else initial or ()
        return [(str(key), text_of(value)) for key, value in before] != list(data or ())


def _all(data: Any, name: str) -> list[str]:
    return [str(one) for one in data.getlist(name)] if isinstance(data, QueryDict) else []
