"""The form for another value than either side's, checked as if the dialer had sent it."""

import json
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.admin_forms import TextInput
from sync.admin_stories import field_name
from sync.models import Conflict
from sync.serializers import ContactWrite, dialer_values


class OtherValueForm(forms.Form):
    value = forms.CharField(label=gettext_lazy("value"), required=False, widget=TextInput)

    def __init__(self, conflict: Conflict, data: Any = None) -> None:
        super().__init__(data, initial={"value": plain_text(conflict.ours)})
        self.conflict = conflict
        self.fields["value"].label = field_name(conflict.field)

    def clean_value(self) -> Any:
        name, text = self.conflict.field, self.cleaned_data["value"]
        if name not in ContactWrite().fields:
            return _parsed(text, self.conflict) if text else None
        checked = ContactWrite(data={name: text}, context={"region": self.conflict.tenant.region})
        if not checked.is_valid():
            raise forms.ValidationError([str(one) for one in checked.errors[name]])
        return dialer_values(checked.validated_data)[name]


def _parsed(text: str, conflict: Conflict) -> Any:
    """What was typed, as JSON where either side holds something else than a text."""
    if all(isinstance(side, str | None) for side in (conflict.ours, conflict.theirs)):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise forms.ValidationError(_('Write this value as JSON, such as ["a", "b"].')) from error


def plain_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
