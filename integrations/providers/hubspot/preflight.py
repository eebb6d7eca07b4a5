"""What the connected token may not do that we need, and what somebody has to click in HubSpot for it.

Any kind of token answers a request that it has no scope for with 403 and the scope's name, so each right is tried out by
the cheapest request that needs it. Rights to write are tried with a batch that holds nothing: it is refused as empty, or
for the missing scope. Nothing is changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.hubspot import timeline
from integrations.providers.hubspot.answers import body_of
from integrations.providers.hubspot.defaults import MAPPINGS
from integrations.providers.hubspot.endpoints import path
from integrations.providers.hubspot.preparing import PAGES, WITHOUT
from integrations.providers.hubspot.properties import KEYS
from integrations.records.connections import Connection, Finding, Severity
from integrations.transport.classify import json_of


@dataclass(frozen=True, slots=True)
class Probe:
    """A request that needs a right, the scope it is known by, and what goes without it."""

    scope: str
    consequence: str
    endpoint: str
    parts: Mapping[str, str] = field(default_factory=dict)
    order: Mapping[str, Any] | None = None
    severity: Severity = Severity.WARNING


EMPTY: Mapping[str, Any] = {"inputs": []}
CONTACTS, COMPANIES, DEALS = {"type": "contacts"}, {"type": "companies"}, {"type": "deals"}
PROBES = (
    Probe(
        "crm.objects.contacts.read",
        "contacts can't be read",
        "objects",
        CONTACTS,
        severity=Severity.BLOCKING,
    ),
    Probe(
        "crm.objects.contacts.write",
        "calls can't be logged and contacts not be changed",
        "batch",
        {**CONTACTS, "action": "update"},
        EMPTY,
        Severity.BLOCKING,
    ),
    Probe("crm.objects.contacts.read", "changed contacts can't be searched for", "search", CONTACTS, {"limit": 1}),
    Probe("crm.objects.owners.read", "no owner is synced and calls have none", "owners"),
    Probe("crm.schemas.contacts.read", "fields can't be listed", "properties", CONTACTS),
    Probe(
        "crm.schemas.contacts.write",
        "we can't add the fields that we need",
        "property_batch",
        {**CONTACTS, "action": "create"},
        EMPTY,
    ),
    Probe("crm.objects.companies.read", "companies can't be read", "objects", COMPANIES),
    Probe("crm.objects.deals.read", "deals can't be read", "objects", DEALS),
    Probe("crm.objects.deals.write", "deals can't be changed", "batch", {**DEALS, "action": "update"}, EMPTY),
)
GRANT = (
    "In HubSpot open Settings > Integrations > Private Apps > your app > Scopes, tick {scope} and save; "
    "an app that was connected by consent has to be connected again."
)
PROPERTIES = "Settings > Data Management > Properties > Contact properties"
LOW = 0.1
"""Share of the day's requests that is left when we start to warn."""
UNIQUE_PROPERTIES = 10


class Preflight:
    def __init__(self, api: Api, connection: Connection) -> None:
        self._api = api
        self._connection = connection
        self._daily = self._left = ""

    def findings(self) -> list[Finding]:
        found = [finding for probe in self._probes() for finding in self._try(probe)]
        found += [*self._missing_fields(), *self._unique_property(), *self._low_quota()]
        return list({(one.code, one.subject): one for one in reversed(found)}.values())[::-1]

    # --- rights -----------------------------------------------------------------------------------------------------

    def _probes(self) -> Iterator[Probe]:
        yield from PROBES
        template = timeline.switched_on(self._connection, timeline.TIMELINE)
        if template:
            parts = {"template": template, "id": "preflight"}
            yield Probe("timeline", "no timeline events are sent", "timeline_event_of", parts)

    def _try(self, probe: Probe) -> Iterator[Finding]:
        """Only a missing right is a finding: any other refusal comes after the check of rights."""
        method = "GET" if probe.order is None else "POST"
        params = {"limit": 1} if probe.endpoint in {"objects", "owners"} else None
        try:
            response = self._api.request(
                method, path(probe.endpoint, **probe.parts), params=params, json=probe.order, repeatable=True
            )
        except errors.FixConfig as error:
            if error.status == 403:
                yield _missing_scope(probe)
            else:
                yield _unreachable(probe, error)
        except (errors.FixData, errors.Gone, errors.Stale):
            return
        else:
            self._daily = response.headers.get("X-HubSpot-RateLimit-Daily", self._daily)
            self._left = response.headers.get("X-HubSpot-RateLimit-Daily-Remaining", self._left)

    # --- fields -----------------------------------------------------------------------------------------------------

    def _missing_fields(self) -> Iterator[Finding]:
        """The fields of the default mapping, told apart: archived, not there, hidden, or not to be written."""
        known = self._definitions(archived=False)
        if known is None:
            return
        archived: Mapping[str, Any] | None = None
        for row in MAPPINGS:
            definition = known.get(row.crm_field)
            if definition is None:
                archived = self._definitions(archived=True) or {} if archived is None else archived
                yield _absent(row.crm_field, archived=row.crm_field in archived)
            else:
                yield from _limited(row.crm_field, definition, written=row.direction != "inbound")

    def _definitions(self, *, archived: bool) -> dict[str, Any] | None:
        """Properties of contacts by name; None where we may not list them, which a probe reports."""
        params = {"archived": str(archived).lower()}
        try:
            body = body_of(self._api.request("GET", path("properties", **CONTACTS), params=params))
        except (errors.FixConfig, errors.FixData, errors.Gone):
            return None
        return {one["name"]: one for one in body.get("results") or [] if bool(one.get("archived")) == archived}

    def _unique_property(self) -> Iterator[Finding]:
        for object_type, name in KEYS.items():
            try:
                response = self._api.request("GET", path("properties", type=object_type))
            except (errors.FixConfig, errors.FixData, errors.Gone):
                continue
            told = json_of(response)
            definitions = (told.get("results") or []) if isinstance(told, dict) else []
            yield from _key_finding(object_type, name, definitions)

    # --- quota ------------------------------------------------------------------------------------------------------

    def _low_quota(self) -> Iterator[Finding]:
        daily, left = self._daily, self._left
        if daily.isdigit() and left.isdigit() and int(left) < int(daily) * LOW:
            yield Finding(
                "low_quota",
                "daily requests",
                f"Only {left} of the account's {daily} daily requests are left; when they are gone, everything waits.",
                "See Settings > Integrations > Connected Apps for the programs that use them; the count starts anew at "
                "midnight in the account's time zone. HubSpot sells an API limit increase.",
            )


def _missing_scope(probe: Probe) -> Finding:
    return Finding(
        "missing_scope",
        probe.scope,
        f"The scope {probe.scope} was not granted: {probe.consequence}.",
        GRANT.format(scope=probe.scope),
        probe.severity,
    )


def _unreachable(probe: Probe, error: errors.FixConfig) -> Finding:
    return Finding(
        "unreachable",
        probe.endpoint,
        f"HubSpot does not answer where we asked: {probe.consequence}. ({error.message})",
        "Whoever runs this installation has to check HUBSPOT_API_URL and HUBSPOT_API_VERSIONS.",
        probe.severity,
    )


def _absent(name: str, *, archived: bool) -> Finding:
    if archived:
        message = f"The contact property {name} is archived, so that its values are neither read nor written."
        return Finding("field_archived", name, message, f"In {PROPERTIES} > Archived, choose {name} and Restore.")
    return Finding(
        "field_missing",
        name,
        f"Contacts have no property {name}, or it holds sensitive data that this app may not see.",
        f"Create {name} in {PROPERTIES}, or choose another one in the field mapping.",
    )


def _limited(name: str, definition: Mapping[str, Any], *, written: bool) -> Iterator[Finding]:
    fixed = definition.get("calculated") or (definition.get("modificationMetadata") or {}).get("readOnlyValue")
    if written and fixed:
        yield Finding(
            "field_read_only",
            name,
            f"HubSpot lets nobody write the contact property {name}: it is calculated or kept by HubSpot itself.",
            "Choose another property in the field mapping, or make it inbound.",
        )
    if definition.get("hidden"):
        yield Finding(
            "field_hidden",
            name,
            f"The contact property {name} is hidden: people in HubSpot don't see what we write there.",
            f"In {PROPERTIES}, open {name} and show it on the record.",
            Severity.NOTE,
        )


def _key_finding(object_type: str, name: str, definitions: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    ours = next((one for one in definitions if one["name"] == name), None)
    unique = [one["name"] for one in definitions if one.get("hasUniqueValue")]
    if ours is not None and not ours.get("hasUniqueValue"):
        yield _not_unique(object_type, name)
    elif ours is None and len(unique) >= UNIQUE_PROPERTIES:
        yield _no_room(object_type, name, unique)
    elif ours is None:
        yield _not_yet(object_type, name)


def _not_unique(object_type: str, name: str) -> Finding:
    return Finding(
        "field_not_unique",
        name,
        f"The property {name} of {object_type} exists, but its values are not unique. {WITHOUT[object_type]}",
        f"Delete {name} in {PAGES[object_type]} and test the connection; we create it anew.",
    )


def _no_room(object_type: str, name: str, unique: list[str]) -> Finding:
    return Finding(
        "no_unique_property",
        name,
        f"{object_type.capitalize()} have {len(unique)} unique properties already, HubSpot's most: ours can't be added. "
        f"{WITHOUT[object_type]}",
        f"Delete one of these that nobody uses in {PAGES[object_type]}: {', '.join(sorted(unique))}.",
    )


def _not_yet(object_type: str, name: str) -> Finding:
    return Finding(
        "field_missing",
        name,
        f"{object_type.capitalize()} have no property {name} yet. {WITHOUT[object_type]}",
        "Test the connection: we create it, if crm.schemas.contacts.write is granted.",
        Severity.NOTE,
    )
