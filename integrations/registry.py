"""Which CRMs there are. One line each; the class is imported when it is first needed."""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integrations.providers.base import CrmProvider
    from integrations.sandbox.http import Service

PROVIDERS: dict[str, tuple[str, str]] = {
    "salesforce": ("Salesforce", "integrations.providers.salesforce"),
    "hubspot": ("HubSpot", "integrations.providers.hubspot"),
    "followupboss": ("Follow Up Boss", "integrations.providers.followupboss"),
}


def provider_choices() -> list[tuple[str, str]]:
    """For model fields: a callable, so that another CRM makes no migration."""
    return [(slug, label) for slug, (label, _) in PROVIDERS.items()]


def provider_label(slug: str) -> str:
    return PROVIDERS[slug][0] if slug in PROVIDERS else slug


@cache
def provider_class(slug: str) -> "type[CrmProvider]":
    """Raises KeyError with the known names for an unknown CRM."""
    if slug not in PROVIDERS:
        raise KeyError(f"There is no CRM called {slug!r}. Known are: {', '.join(PROVIDERS)}.")
    found: type[CrmProvider] = import_module(f"{PROVIDERS[slug][1]}.provider").Provider
    return found


def provider_settings(slug: str) -> dict[str, str | list[str]]:
    """The settings that an operator may give for this CRM, with their defaults; a list is written with commas. Needs no Django."""
    found: dict[str, str | list[str]] = import_module(f"{PROVIDERS[slug][1]}.environment").SETTINGS
    return found


def sandbox_class(slug: str) -> "type[Service]":
    found: type[Service] = import_module(f"{PROVIDERS[slug][1]}.sandbox").Sandbox
    return found
