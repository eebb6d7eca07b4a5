"""Checks what the integration user may do, and says of each gap what the administrator has to click. Reads only.

Questions that the user may not even ask (about permission sets, about fields that are hidden) become a note, not an error.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import blueprint, failures, objects, soql, task
from integrations.providers.salesforce.custom_fields import Missing, missing_fields, told_apart
from integrations.providers.salesforce.granting import PERMISSION_SET, PERMISSION_SET_LABEL, USER_INFO
from integrations.providers.salesforce.rest import Rest
from integrations.providers.salesforce.schema import Schemas, id_of, json_object
from integrations.records.connections import Finding, Severity

BLOCKING, WARNING, NOTE = Severity.BLOCKING, Severity.WARNING, Severity.NOTE
REFUSALS = (errors.FixConfig, errors.FixData, errors.Gone)
SCARCE = 0.2
"""Share of the day's requests below which we warn."""

# Object → (what describe calls the right, how the pages call it, code, how bad its lack is).
READ = ("queryable", "Read", "object_hidden")
CREATE = ("createable", "Create", "not_creatable")
EDIT = ("updateable", "Edit", "not_updatable")
RIGHTS: Mapping[str, tuple[tuple[tuple[str, str, str], Severity], ...]] = {
    "Lead": ((READ, BLOCKING), (EDIT, WARNING), (CREATE, WARNING)),
    "Contact": ((READ, BLOCKING), (EDIT, WARNING), (CREATE, WARNING)),
    task.OBJECT: ((READ, BLOCKING), (CREATE, BLOCKING), (EDIT, WARNING)),
    "Account": ((READ, WARNING),),
    "User": ((READ, WARNING),),
    "Opportunity": ((READ, NOTE),),
    "Event": ((READ, NOTE), (CREATE, NOTE)),
    "CampaignMember": ((READ, NOTE),),
}
# Standard fields that calling relies on.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "Lead": ("FirstName", "LastName", "Phone", "MobilePhone", "Email", "Status", "DoNotCall", "OwnerId"),
    "Contact": ("FirstName", "LastName", "Phone", "MobilePhone", "Email", "DoNotCall", "OwnerId", "AccountId"),
    task.OBJECT: (
        "Subject",
        "Status",
        "Description",
        "WhoId",
        "CallObject",
        "CallDisposition",
        "CallDurationInSeconds",
    ),
}
# Change events of an object come only to those who may see all its records; of activities only to those who see all data.
STREAMED = ("Lead", "Contact")
CLOSED = "Completed"


@dataclass(slots=True)
class Preflight:
    api: Api
    schemas: Schemas
    rest: Rest = field(init=False)

    def __post_init__(self) -> None:
        self.rest = Rest(self.api)

    def findings(self) -> list[Finding]:
        """Raises Reconnect, Retry and Throttled: they say nothing about rights."""
        try:
            seen = self.rest.objects()
        except errors.FixConfig as error:
            return [_no_api(error)]
        readable = [name for name in RIGHTS if seen.get(name, {}).get("queryable")]
        parts: Sequence[Callable[[], Iterator[Finding]]] = (
            lambda: _rights(seen),
            lambda: self._standard_fields(readable),
            self._own_fields,
            lambda: _own_objects(seen),
            self._permissions,
            self._quota,
        )
        return [finding for part in parts for finding in part()]

    def _standard_fields(self, readable: Sequence[str]) -> Iterator[Finding]:
        for object_type, names in FIELDS.items():
            schema = self.schemas.shown(object_type) if object_type in readable else None
            if schema is None:
                continue
            for name in names:
                if name not in schema.fields:
                    yield _hidden(object_type, name)
                elif not schema.fields[name].get("updateable"):
                    yield _read_only(object_type, name)
            if object_type == task.OBJECT:
                yield from _status(schema.fields.get("Status", {}))

    def _own_fields(self) -> Iterator[Finding]:
        missing = missing_fields(self.schemas)
        for one in told_apart(self.api, missing) if missing else ():
            yield _hidden(one.host, one.name) if one.hidden else _absent(one)
        for host, fields in blueprint.FIELDS.items():
            seen_on = blueprint.shown_on(host)[0]
            schema = self.schemas.known_fields(seen_on)
            yield from (
                _read_only(seen_on, name) for name in fields if name in schema and not schema[name].get("updateable")
            )

    # --- permission sets ----------------------------------------------------------------------------------------------

    def _permissions(self) -> Iterator[Finding]:
        """What the sets of the user give; the profile is one of them."""
        try:
            sets = self._sets()
        except REFUSALS as error:
            yield _unchecked(error)
            return
        if not any(row.get("PermissionsApiEnabled") for row in sets):
            yield _system_right("API Enabled", BLOCKING, "api_disabled", "Every request is refused without it.")
        if not any(row.get("PermissionsCustomizeApplication") for row in sets):
            yield _system_right(
                "Customize Application", NOTE, "no_customizing", "We can't add our fields ourselves without it."
            )
        if any(row.get("PermissionsViewAllData") for row in sets):
            return
        yield _no_view_all("Task", "View All Data")
        seen = self._all_seen([str(row["Id"]) for row in sets])
        yield from (_no_view_all(name, "View All Records") for name in STREAMED if name not in seen)

    def _sets(self) -> list[Mapping[str, Any]]:
        user_id = id_of(json_object(self.api.request("GET", USER_INFO)), "user_id")
        where = [f"AssigneeId = {soql.record_id(user_id)}"]
        assigned = self.rest.rows(soql.select(["PermissionSetId"], "PermissionSetAssignment", where))
        ids = [str(row["PermissionSetId"]) for row in assigned]
        names = ["ViewAllData", "ApiEnabled", "CustomizeApplication"]
        fields = ["Id", "Name", *(f"Permissions{name}" for name in names)]
        return list(self.rest.rows(soql.select(fields, "PermissionSet", [soql.among_ids(ids)]))) if ids else []

    def _all_seen(self, set_ids: Sequence[str]) -> set[str]:
        if not set_ids:
            return set()
        where = [
            soql.among("ParentId", set_ids),
            soql.among("SobjectType", STREAMED),
            "PermissionsViewAllRecords = TRUE",
        ]
        return {
            str(row["SobjectType"]) for row in self.rest.rows(soql.select(["SobjectType"], "ObjectPermissions", where))
        }

    def _quota(self) -> Iterator[Finding]:
        try:
            day = self.rest.limits().get("DailyApiRequests") or {}
        except REFUSALS:
            return  # the header of every answer tells the same, later
        most, left = int(day.get("Max") or 0), int(day.get("Remaining") or 0)
        if most and left < most * SCARCE:
            yield Finding(
                "daily_limit",
                "DailyApiRequests",
                f"{left:,} of today's {most:,} API requests of this Salesforce organisation are left, for all its apps.",
                "Setup > System Overview > API Usage shows which app uses them up. Salesforce sells more.",
                WARNING if left else BLOCKING,
            )


def _no_api(error: errors.FixConfig) -> Finding:
    remedy = (
        "Setup > Users > Profiles or Permission Sets > System Permissions > tick API Enabled for the integration user."
    )
    code = "api_disabled" if error.cause == failures.API_DISABLED else "no_access"
    return Finding(code, "API Enabled", error.message, remedy, BLOCKING)


def _rights(seen: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    for object_type, rights in RIGHTS.items():
        for (word, name, code), severity in rights:
            if seen.get(object_type, {}).get(word):
                continue
            yield Finding(
                code,
                object_type,
                f"The integration user does not have {name} on {object_type} records.",
                f"Setup > Permission Sets > Object Settings > {object_type} > tick {name}; for Task, tick the system "
                "permission Edit Tasks instead.",
                severity,
            )
            if code == READ[2]:
                break  # the rest follows from it


def _own_objects(seen: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    for name in objects.OWN_OBJECTS:
        if not seen.get(name, {}).get("createable"):
            yield Finding(
                "object_missing",
                name,
                f"Salesforce has no object {name}, or hides it: such records stay in the dialer.",
                "Test this connection again to have it made, or create it: Setup > Object Manager > Create > Custom Object.",
                NOTE,
            )


def _status(status: Mapping[str, Any]) -> Iterator[Finding]:
    known = [str(one.get("value")) for one in status.get("picklistValues") or () if one.get("active")]
    if known and CLOSED not in known:
        yield Finding(
            "status_missing",
            "Task.Status",
            f"This Salesforce has no task status '{CLOSED}', which the standard dispositions use.",
            f"Open the disposition map and choose one of: {', '.join(known)}.",
            BLOCKING,
        )


def _hidden(object_type: str, name: str) -> Finding:
    return Finding(
        "field_hidden",
        f"{object_type}.{name}",
        f"The integration user does not see the field {name} on {object_type}.",
        f"Setup > Object Manager > {object_type} > Fields & Relationships > {name} > Set Field-Level Security, or the "
        f"permission set {PERMISSION_SET_LABEL} > Object Settings > {object_type}: tick Read and Edit.",
        WARNING,
    )


def _read_only(object_type: str, name: str) -> Finding:
    return Finding(
        "field_read_only",
        f"{object_type}.{name}",
        f"The integration user sees the field {name} on {object_type} but may not change it.",
        f"Setup > Permission Sets > Object Settings > {object_type} > tick Edit on {name}.",
        WARNING,
    )


def _absent(one: Missing) -> Finding:
    unsure = " or it is hidden" if one.hidden is None else ""
    return Finding(
        "field_missing",
        f"{one.host}.{one.name}",
        f"Salesforce has no field {one.name} on {one.host}{unsure}.",
        f"Test this connection again to have it made, or: {blueprint.how_to_make(one.host, one.name)}.",
        WARNING,
    )


def _system_right(name: str, severity: Severity, code: str, why: str) -> Finding:
    remedy = f"Setup > Permission Sets > {PERMISSION_SET_LABEL} > System Permissions > tick {name}."
    return Finding(code, name, f"The integration user does not have {name}. {why}", remedy, severity)


def _no_view_all(object_type: str, right: str) -> Finding:
    where = f"Object Settings > {object_type}" if right == "View All Records" else "System Permissions"
    return Finding(
        "no_view_all",
        object_type,
        f"Changes of {object_type} records are not streamed to us: the integration user does not have {right}. They "
        "arrive with the next regular run.",
        f"Setup > Permission Sets > {PERMISSION_SET_LABEL} > {where} > tick {right}.",
        WARNING if object_type in STREAMED else NOTE,
    )


def _unchecked(error: errors.CrmError) -> Finding:
    return Finding(
        "not_checked",
        PERMISSION_SET,
        f"Salesforce does not let us read the integration user's permissions: {error.message}",
        "Setup > Permission Sets > System Permissions > tick View Setup and Configuration, if we are to check them.",
        NOTE,
    )
