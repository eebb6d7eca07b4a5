"""Makes what call logging and the default mapping want in the tenant's account, and lets the integration user see it.

A field that describe does not show is absent or hidden; the Tooling API tells which. An absent one is made, and both are
granted. Where the account refuses a step, or the tenant wants us to check only, people are told what to click.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import blueprint, soql, task
from integrations.providers.salesforce.custom_objects import REFUSALS, CustomObjects
from integrations.providers.salesforce.granting import DONE_ALREADY, USER_INFO, Granter
from integrations.providers.salesforce.schema import ObjectSchema, Schemas, data_path, json_object

__all__ = ["USER_INFO", "Customizer", "Missing", "existing_fields", "missing_fields", "told_apart"]

NO_KEY = (
    "Calls are kept apart by the standard field CallObject, because Salesforce did not let us add a field of our own "
    "({reason}). Calls are still logged once each. To use the better way: {how}, then test this connection again."
)
NOT_YET = (
    "Salesforce has made the field Dialer_Call_Id__c but does not show it to the integration user yet. Test this "
    "connection again in a minute. If this stays: Setup > Permission Sets > Dialer Integration > Manage Assignments > "
    "add the integration user."
)
NO_RECORDING = "Links to recordings are put into the task's comments. For a field of their own: {how}."
NO_FIELD = (
    "Salesforce has no field {name} on {host} for us to write. To add it: {how}, then test this connection again."
)
HIDDEN_FIELD = (
    "Salesforce has the field {name} on {host}, but the integration user does not see it yet. If this stays: Setup > "
    "Permission Sets > Dialer Integration > Object Settings > {host} > give Read and Edit on it, and assign the set to the "
    "integration user."
)
NO_STATUS = (
    "This Salesforce has no task status 'Completed', which the standard dispositions use. Open the disposition map and "
    "choose one of: {known}."
)
CHECK_ONLY = "this connection is set to check only"


@dataclass(frozen=True, slots=True)
class Missing:
    """A field that describe does not show. `hidden` says that it exists; None that nobody lets us know."""

    host: str
    name: str
    hidden: bool | None = None


@dataclass(slots=True)
class Customizer:
    api: Api
    schemas: Schemas
    settings: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the last preparation remembered."""
    reason: str = field(default="", init=False)

    def prepare(self) -> dict[str, Any]:
        """What to remember: the key field of calls, the fields of a Task, a running deployment, and what is missing."""
        check_only = bool(self.settings.get("check_only"))
        missing = missing_fields(self.schemas)
        if missing and not check_only:
            self._add(missing)
            missing = missing_fields(self.schemas)
        if missing:
            missing = told_apart(self.api, missing)
        schema = self.schemas.get(task.OBJECT)
        key_field = schema.fields.get(task.KEY_FIELD, {})
        ready = bool(key_field.get("externalId"))
        if key_field and not ready:
            self.reason = "the field Dialer_Call_Id__c is there, but 'External ID' is not ticked"
        own = CustomObjects(self.api, str(self.metadata.get("deployment") or ""))
        warnings = [*self._warnings(missing, ready=ready, check_only=check_only), *own.prepare(check_only=check_only)]
        return {
            "call_key": task.KEY_FIELD if ready else task.FALLBACK_KEY_FIELD,
            "task_fields": task.sendable(schema),
            "deployment": own.deployment,
            "warnings": [*warnings, *_status_warning(schema)],
        }

    def _warnings(self, missing: Sequence[Missing], *, ready: bool, check_only: bool) -> Iterator[str]:
        reason = self.reason or (CHECK_ONLY if check_only else "")
        if not ready:
            how = blueprint.how_to_make(blueprint.ACTIVITY, task.KEY_FIELD)
            yield NO_KEY.format(reason=reason, how=how) if reason else NOT_YET
        for one in missing:
            how = blueprint.how_to_make(one.host, one.name)
            if one.name == task.RECORDING_FIELD:
                yield NO_RECORDING.format(how=how)
            elif one.name != task.KEY_FIELD:
                yield (HIDDEN_FIELD if one.hidden else NO_FIELD).format(name=one.name, host=one.host, how=how)

    def _add(self, missing: Sequence[Missing]) -> None:
        try:
            existing = existing_fields(self.api, missing)
            there = [one for one in missing if (one.host, one.name) in existing or self._create_field(one)]
            if there:
                Granter(self.api).grant((seen, one.name) for one in there for seen in blueprint.shown_on(one.host))
        except REFUSALS as error:
            self._refused(error)

    def _refused(self, error: errors.CrmError) -> None:
        self.reason = self.reason or (error.detail or error.message).rstrip(".")

    def _create_field(self, one: Missing) -> bool:
        body = {"FullName": f"{one.host}.{one.name}", "Metadata": dict(blueprint.FIELDS[one.host][one.name])}
        path = data_path("/tooling/sobjects/CustomField")
        try:
            self.api.request("POST", path, json=body, repeatable=True)
        except REFUSALS as error:
            if error.detail.startswith(DONE_ALREADY):
                return True
            self._refused(error)
            return False
        return True


def missing_fields(schemas: Schemas) -> list[Missing]:
    """The fields of ours that describe does not show to this user. Asks for each object's describe anew."""
    found = []
    for host, fields in blueprint.FIELDS.items():
        schema = schemas.shown(blueprint.shown_on(host)[0])
        found += [Missing(host, name) for name in fields if schema is None or name not in schema.fields]
    return found


def existing_fields(api: Api, missing: Sequence[Missing]) -> set[tuple[str, str]]:
    """(object, field) of those that the account has but describe hides from this user."""
    hosts = sorted({one.host for one in missing})
    names = sorted({one.name.removesuffix("__c") for one in missing})
    where = [soql.among("TableEnumOrId", hosts), soql.among("DeveloperName", names)]
    query = soql.select(["Id", "DeveloperName", "TableEnumOrId"], "CustomField", where)
    body = json_object(api.request("GET", data_path("/tooling/query"), params={"q": query}))
    return {(str(row["TableEnumOrId"]), f"{row['DeveloperName']}__c") for row in body.get("records") or ()}


def told_apart(api: Api, missing: Sequence[Missing]) -> list[Missing]:
    """Absent or hidden, where we may know."""
    try:
        existing = existing_fields(api, missing)
    except REFUSALS:
        return list(missing)
    return [Missing(one.host, one.name, (one.host, one.name) in existing) for one in missing]


def _status_warning(schema: ObjectSchema) -> Iterator[str]:
    statuses = [item["value"] for item in schema.fields.get("Status", {}).get("picklistValues") or ()]
    if statuses and "Completed" not in statuses:
        yield NO_STATUS.format(known=", ".join(statuses))
