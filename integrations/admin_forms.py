"""Form parts that several admin pages use."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.forms import PasswordInput, Select, Textarea, TextInput

    ModelForm: TypeAlias = forms.ModelForm[Any]
else:
    from django.forms import ModelForm
    from unfold.widgets import UnfoldAdminPasswordWidget as PasswordInput
    from unfold.widgets import UnfoldAdminSelectWidget as Select
    from unfold.widgets import UnfoldAdminTextareaWidget as Textarea
    from unfold.widgets import UnfoldAdminTextInputWidget as TextInput

__all__ = [
    "DatalistInput",
    "JsonText",
    "ModelForm",
    "PasswordInput",
    "SecretText",
    "Select",
    "TenantForm",
    "TextInput",
    "Textarea",
    "json_object",
]


class TenantForm(ModelForm):
    """Knows whose row it is before it validates.

    Django checks a uniqueness rule only when all of its fields are in the form. Here some are hidden or fixed, above all the
    tenant: those in `identity` are checked all the same, else a double would be found by the database and end in an error page.
    """

    identity: tuple[str, ...] = ("tenant",)
    owner_id: UUID | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.owner_id and self.instance._state.adding:
            self.instance.tenant_id = self.owner_id

    def _get_validation_exclusions(self) -> set[str]:
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        known = {name for name in self.identity if name not in self.errors and self._has(name)}
        return excluded - known

    def _update_errors(self, errors: Any) -> None:
        """What is wrong with a field that isn't shown concerns the whole form."""
        found = getattr(errors, "error_dict", {})
        for name in [name for name in found if name not in self.fields and name != NON_FIELD_ERRORS]:
            found.setdefault(NON_FIELD_ERRORS, []).extend(found.pop(name))
        super()._update_errors(errors)  # type: ignore[misc]

    def _has(self, name: str) -> bool:
        return name in self.cleaned_data or bool(getattr(self.instance, self.instance._meta.get_field(name).attname))


class DatalistInput(TextInput):
    """A text field with suggestions that the browser itself shows: (value, what it is)."""

    def __init__(self, options: Iterable[tuple[str, str]] = (), attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs={"autocomplete": "off", **(attrs or {})})
        self.options = list(options)

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        list_id = f"{(attrs or {}).get('id', name)}_options"
        field = super().render(name, value, {**(attrs or {}), "list": list_id}, renderer)
        options = format_html_join("", '<option value="{}">{}</option>', self.options)
        return format_html('{}<datalist id="{}">{}</datalist>', field, list_id, options)


class JsonText(forms.JSONField):
    """JSON as people write it: over several lines, and nothing at all for an empty value."""

    def prepare_value(self, value: Any) -> Any:
        if value in (None, {}, []):
            return ""
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, cls=self.encoder)


class SecretText(Textarea):
    """A secret of several lines; like a password it is never sent back to the browser."""

    def format_value(self, value: Any) -> str | None:
        return None


def json_object(value: Any) -> dict[str, Any]:
    """The cleaned value of a JSON field that has to hold an object; empty for nothing."""
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise forms.ValidationError(_('Write a JSON object, such as {"name": "value"}.'))
    return value
