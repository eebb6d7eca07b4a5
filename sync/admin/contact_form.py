"""The form by which a person changes a contact: an edit like any other, with its history and its way to the CRMs."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _

from integrations.admin_forms import TenantForm
from sync.models import Contact
from sync.phone_numbers import to_e164

EDITABLE = (
    "first_name", "last_name", "email", "phone", "mobile_phone", "company", "title", "lead_status", "do_not_call",
)  # fmt: skip
"""What our side may change; the rest is counted here or comes from a CRM."""
SEEN = "seen_version"


class ContactForm(TenantForm):
    """Refuses to save over what somebody else changed since the page was opened."""

    seen_version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = Contact
        fields = "__all__"
        help_texts = {"phone": "", "mobile_phone": ""}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if SEEN in self.fields:
            self.fields[SEEN].initial = self.instance.version

    def clean_email(self) -> str:
        email = str(self.cleaned_data.get("email") or "").strip().lower()
        return str(forms.EmailField(required=False).clean(email))

    def clean_phone(self) -> str:
        return self._number("phone")

    def clean_mobile_phone(self) -> str:
        return self._number("mobile_phone")

    def _number(self, name: str) -> str:
        text = str(self.cleaned_data.get(name) or "").strip()
        try:
            return to_e164(text, self.instance.tenant.region) if text and name in self.changed_data else text
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get(SEEN) != self.instance.version:
            raise forms.ValidationError(
                _("Somebody changed this contact meanwhile. Open it again and repeat your change.")
            )
        return cleaned

    def edits(self) -> dict[str, Any]:
        """What the person changed, by dialer field; blanks as None."""
        return {name: self.cleaned_data[name] or None for name in EDITABLE if name in self.changed_data} | (
            {"do_not_call": bool(self.cleaned_data["do_not_call"])} if "do_not_call" in self.changed_data else {}
        )
