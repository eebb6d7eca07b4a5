"""The log-in form, which slows down whoever guesses passwords (see `integrations.guessing`)."""

from typing import Any

from django import forms
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.forms import AuthenticationForm

from integrations import audit, guessing, tenancy
from integrations.guessing import ADDRESS, PERSON_ANYWHERE, PERSON_HERE, RESET_FROM_ADDRESS, RESET_OF_PERSON, Count
from integrations.models import AuditEntry, Membership


class GuardedLogin(AuthenticationForm):  # type: ignore[misc]
    """Says how long to wait. Whether the name exists and whether the password was right this once, it does not say."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": gettext_lazy("User name or password is wrong. Capitals matter in both."),
    }

    def clean(self) -> Any:
        name = self.cleaned_data.get("username")
        if not name or not self.cleaned_data.get("password"):
            return super().clean()
        here, anywhere = _counts(name, self.request)
        outcome = guessing.attempt(here)
        wider = guessing.attempt([] if outcome.refused else [anywhere])
        if outcome.refused or (wider.refused and not _has_been_here(name, self.request)):
            raise forms.ValidationError(_refusal(outcome.refused or wider.refused), code="too_many")
        try:
            cleaned = super().clean()
        except forms.ValidationError:
            if round(outcome.begins) >= PERSON_HERE.first:
                audit.note_guessing(self.request, name, outcome.begins)
            raise
        guessing.was_right([here[0], anywhere], here[1:])
        return cleaned


def _counts(name: str, request: HttpRequest) -> tuple[list[Count], Count]:
    network = guessing.network_of(audit.address_of(request))
    here = [Count.of(PERSON_HERE, "person here", name, network), Count.of(ADDRESS, "address", network)]
    return here, Count.of(PERSON_ANYWHERE, "person", name)


def forgive(request: HttpRequest, name: str) -> None:
    """Somebody proved otherwise who they are: their tries from here count no more."""
    here, anywhere = _counts(name, request)
    guessing.was_right([here[0], anywhere])


def may_ask_for_password(request: HttpRequest, email: str) -> bool:
    """Whether a link for a new password may be sent; counts the wish."""
    network = guessing.network_of(audit.address_of(request))
    wishes = [Count.of(RESET_OF_PERSON, "reset", email), Count.of(RESET_FROM_ADDRESS, "reset from", network)]
    return not guessing.attempt(wishes).refused


def _has_been_here(name: str, request: HttpRequest) -> bool:
    """Whether the person signed in from the same address before."""
    address = audit.address_of(request)
    if address is None:
        return False
    with tenancy.everyone():
        tenants = Membership.objects.filter(user__username=name).values("tenant_id")
        signed_in = AuditEntry.objects.filter(who=name, action=audit.LOGGED_IN, address=address)
        return signed_in.filter(Q(tenant_id__in=tenants) | Q(tenant=None)).exists()


def _refusal(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    wait = ngettext("%(count)s minute", "%(count)s minutes", minutes) % {"count": minutes}
    return _(
        "There were too many attempts that failed. Wait %(time)s and try again, or choose a new password by e-mail; that works "
        "at once."
    ) % {"time": wait}
