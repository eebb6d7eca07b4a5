"""Lets the integration user see what is new: anything made through the API is hidden from everybody, administrators too.

One permission set of ours holds the grants. Each step takes "is there already" as success, so that all can be repeated.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from integrations.contract.ports import Api
from integrations.providers.salesforce import failures, soql
from integrations.providers.salesforce.batches import Collections, first_error
from integrations.providers.salesforce.rest import Rest
from integrations.providers.salesforce.schema import id_of, json_object

PERMISSION_SET = "Dialer_Integration"
PERMISSION_SET_LABEL = "Dialer Integration"
USER_INFO = "/services/oauth2/userinfo"
# What a step answers when an earlier run has done it.
DONE_ALREADY = ("DUPLICATE_DEVELOPER_NAME", "DUPLICATE_VALUE")
OBJECT_RIGHTS = ("Read", "Create", "Edit", "Delete")


class Granter:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._rest = Rest(api)
        self._collections = Collections(api)

    def grant(self, fields: Iterable[tuple[str, str]], objects: Sequence[str] = ()) -> None:
        """Read and Edit on fields, as (object, field), and everything on whole objects. Raises what is refused."""
        set_id = self._permission_set()
        rights = {f"Permissions{right}": True for right in OBJECT_RIGHTS}
        self._ensure(
            "ObjectPermissions", [{"ParentId": set_id, "SobjectType": object_type, **rights} for object_type in objects]
        )
        seen = {"PermissionsRead": True, "PermissionsEdit": True}
        self._ensure(
            "FieldPermissions",
            [
                {"ParentId": set_id, "SobjectType": object_type, "Field": f"{object_type}.{name}", **seen}
                for object_type, name in fields
            ],
        )
        user_id = id_of(json_object(self._api.request("GET", USER_INFO)), "user_id")
        self._ensure("PermissionSetAssignment", [{"AssigneeId": user_id, "PermissionSetId": set_id}])

    def _permission_set(self) -> str:
        query = soql.select(["Id"], "PermissionSet", [soql.equals("Name", PERMISSION_SET)])
        for row in self._rest.rows(query):
            return id_of(row, "Id")
        return self._rest.create("PermissionSet", {"Name": PERMISSION_SET, "Label": PERMISSION_SET_LABEL})

    def _ensure(self, object_type: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Creating twice does no harm here: the second time, each says that it is there."""
        for result in self._collections.create(object_type, records):
            failure = first_error(result)
            if not result.get("success") and failure.get("statusCode") not in DONE_ALREADY:
                raise failures.of_record(failure)
