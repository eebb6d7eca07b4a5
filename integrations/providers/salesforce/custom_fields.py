"""Makes the two fields that call logging wants in the tenant's account, and lets the integration user see them.

Fields "on Task" are fields of Activity, shared by Task and Event. One made through the API is visible to nobody, not
even to administrators, until a permission set grants it. Each step takes "is there already" as success, so that all of
it can be repeated; where the account refuses a step, people are told what to click.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from integrations import errors
from integrations.providers.base import Api
from integrations.providers.salesforce import soql, task
from integrations.providers.salesforce.schema import ObjectSchema, Schemas, data_path, id_of, json_object

HOST_OBJECT = "Activity"
SEEN_ON = ("Task", "Event")
PERMISSION_SET = "Dialer_Integration"
PERMISSION_SET_LABEL = "Dialer Integration"
USER_INFO = "/services/oauth2/userinfo"

FIELDS: Mapping[str, Mapping[str, Any]] = {
    task.KEY_FIELD: {
        "label": "Dialer Call Id",
        "type": "Text",
        "length": 64,
        "externalId": True,
        "unique": True,
        "caseSensitive": True,
        "required": False,
        "description": "Set by the dialer so that each call is logged once.",
    },
    task.RECORDING_FIELD: {
        "label": "Dialer Call Recording URL",
        "type": "Url",
        "required": False,
        "description": "Link to the recording of the call.",
    },
}
# What a step answers when an earlier run has done it.
DONE_ALREADY = ("DUPLICATE_DEVELOPER_NAME", "DUPLICATE_VALUE")
REFUSALS = (errors.FixConfig, errors.FixData, errors.Gone, errors.Stale)

NO_KEY = (
    "Calls are kept apart by the standard field CallObject, because Salesforce did not let us add a field of our own "
    "({reason}). Calls are still logged once each. To use the better way: Setup > Object Manager > Activity > Fields > "
    "New > Text, length 64, name Dialer_Call_Id, tick External ID and Unique, make it visible and editable for the "
    "integration user, then test this connection again."
)
NOT_YET = (
    "Salesforce has made the field Dialer_Call_Id__c but does not show it to the integration user yet. Test this "
    "connection again in a minute. If this stays: Setup > Permission Sets > Dialer Integration > Manage Assignments > "
    "add the integration user."
)
NO_RECORDING = (
    "Links to recordings are put into the task's comments. For a field of their own: Setup > Object Manager > Activity "
    "> Fields > New > URL, name Dialer_Call_Recording_URL, visible and editable for the integration user."
)
NO_STATUS = (
    "This Salesforce has no task status 'Completed', which the standard dispositions use. Open the disposition map and "
    "choose one of: {known}."
)


@dataclass(slots=True)
class Customizer:
    api: Api
    schemas: Schemas
    reason: str = field(default="", init=False)

    def prepare(self) -> dict[str, Any]:
        """What to remember for logging calls: the key field, the fields of a Task, and what is missing in sentences."""
        schema = self.schemas.get(task.OBJECT, fresh=True)
        missing = [name for name in FIELDS if name not in schema.fields]
        if missing:
            self._add(missing)
            schema = self.schemas.get(task.OBJECT, fresh=True)
        key_field = schema.fields.get(task.KEY_FIELD, {})
        ready = bool(key_field.get("externalId"))
        if key_field and not ready:
            self.reason = "the field Dialer_Call_Id__c is there, but 'External ID' is not ticked"
        return {
            "call_key": task.KEY_FIELD if ready else task.FALLBACK_KEY_FIELD,
            "task_fields": task.sendable(schema),
            "warnings": list(self._warnings(schema, ready=ready)),
        }

    def _warnings(self, schema: ObjectSchema, *, ready: bool) -> Iterator[str]:
        if not ready:
            yield NO_KEY.format(reason=self.reason) if self.reason else NOT_YET
        if task.RECORDING_FIELD not in schema.fields:
            yield NO_RECORDING
        statuses = [item["value"] for item in schema.fields.get("Status", {}).get("picklistValues") or ()]
        if statuses and "Completed" not in statuses:
            yield NO_STATUS.format(known=", ".join(statuses))

    def _add(self, names: list[str]) -> None:
        try:
            hidden = self._existing(names)
            there = [name for name in names if name in hidden or self._create_field(name)]
            if there:
                self._show(there)
        except REFUSALS as error:
            self._refused(error)

    def _refused(self, error: errors.CrmError) -> None:
        self.reason = self.reason or (error.detail or error.message).rstrip(".")

    def _existing(self, names: list[str]) -> set[str]:
        """Those that the account has but describe hides from this user."""
        developer_names = [name.removesuffix("__c") for name in names]
        where = [f"TableEnumOrId = {soql.text(HOST_OBJECT)}", soql.among("DeveloperName", developer_names)]
        rows = self._rows("/tooling/query", soql.select(["Id", "DeveloperName"], "CustomField", where))
        return {f"{row['DeveloperName']}__c" for row in rows}

    def _create_field(self, name: str) -> bool:
        body = {"FullName": f"{HOST_OBJECT}.{name}", "Metadata": dict(FIELDS[name])}
        try:
            self._ensure("/tooling/sobjects/CustomField", body)
        except REFUSALS as error:
            self._refused(error)
            return False
        return True

    def _show(self, names: list[str]) -> None:
        set_id = self._permission_set()
        for name in names:
            for object_type in SEEN_ON:
                self._ensure(
                    "/sobjects/FieldPermissions",
                    {
                        "ParentId": set_id,
                        "SobjectType": object_type,
                        "Field": f"{object_type}.{name}",
                        "PermissionsRead": True,
                        "PermissionsEdit": True,
                    },
                )
        user_id = id_of(json_object(self.api.request("GET", USER_INFO)), "user_id")
        self._ensure("/sobjects/PermissionSetAssignment", {"AssigneeId": user_id, "PermissionSetId": set_id})

    def _permission_set(self) -> str:
        query = soql.select(["Id"], "PermissionSet", [f"Name = {soql.text(PERMISSION_SET)}"])
        rows = self._rows("/query", query)
        if rows:
            return id_of(rows[0], "Id")
        body = {"Name": PERMISSION_SET, "Label": PERMISSION_SET_LABEL}
        response = self.api.request("POST", data_path("/sobjects/PermissionSet"), json=body, repeatable=False)
        return id_of(json_object(response), "id")

    def _rows(self, path: str, query: str) -> list[Mapping[str, Any]]:
        return list(json_object(self.api.request("GET", data_path(path), params={"q": query})).get("records") or ())

    def _ensure(self, path: str, body: Mapping[str, Any]) -> None:
        try:
            self.api.request("POST", data_path(path), json=body, repeatable=True)
        except errors.FixData as error:
            if not error.detail.startswith(DONE_ALREADY):
                raise
