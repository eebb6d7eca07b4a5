"""What the connected user may see of an object: fields without field-level security are missing from its describe.

One unknown or hidden field fails a whole query, so every SELECT list is made of what describe shows and nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from django.conf import settings

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import soql
from integrations.providers.salesforce.ids import is_id, to_18
from integrations.records.fields import Description, FieldSpec
from integrations.transport.classify import json_of

KINDS: Mapping[str, str] = {
    "string": "string",
    "textarea": "text",
    "picklist": "picklist",
    "multipicklist": "multipicklist",
    "combobox": "string",  # its values are suggestions
    "phone": "phone",
    "email": "email",
    "url": "string",
    "boolean": "boolean",
    "int": "integer",
    "double": "number",
    "currency": "number",
    "percent": "number",
    "date": "date",
    "datetime": "datetime",
    "time": "string",
    "reference": "reference",
    "id": "string",
    "encryptedstring": "string",
}
"""Types that are not here are compounds (`address`, `location`), whose parts are fields of their own, or blobs."""

# What a mapping may read through a lookup: target object → (field, kind, label).
RELATED: Mapping[str, tuple[str, str, str]] = {
    "User": ("Email", "user", "e-mail"),
    "Account": ("Name", "string", "name"),
}

HIDDEN = "object_hidden"


def data_path(rest: str) -> str:
    return f"/services/data/{settings.SALESFORCE_API_VERSION}{rest}"


class ObjectSchema:
    """The describe of one object."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.fields: dict[str, Mapping[str, Any]] = {
            str(field["name"]): field
            for field in body.get("fields") or ()
            if field.get("type") in KINDS and not field.get("deprecatedAndHidden")
        }
        self.specs: list[FieldSpec] = [_spec(field) for field in self.fields.values()]
        self.specs += [spec for field in self.fields.values() for spec in _related(field)]
        self.paths = {spec.path for spec in self.specs}

    def known(self, names: Iterable[str]) -> list[str]:
        """Those that a query may name, each once and in the order given."""
        return [name for name in dict.fromkeys(names) if name in self.paths]

    def mapped(self, paths: Sequence[str]) -> list[str]:
        """The fields that mapping paths read: `Phone || MobilePhone` reads two."""
        return self.known(part.strip() for path in paths for part in path.split("||"))


class Schemas:
    """Describes of one connection, each asked for once, and the service's clock as the last answer showed it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, ObjectSchema] = {}
        self.server_time: datetime | None = None

    def get(self, object_type: str, *, fresh: bool = False) -> ObjectSchema:
        """Raises FixConfig for an object that the user may not read."""
        if fresh or object_type not in self._known:
            self._take(object_type, self._describe(object_type))
        return self._known[object_type]

    def if_changed(self, object_type: str, stamp: str) -> Description:
        """`stamp` is the `Last-Modified` of an earlier answer. A change of rights alone need not move it."""
        response = self._describe(object_type, {"If-Modified-Since": stamp} if stamp else {})
        if response.status_code == 304:
            return Description(None, stamp)
        return Description(self._take(object_type, response).specs, response.headers.get("Last-Modified", ""))

    def now(self) -> datetime:
        """The service's clock as its last describe showed it. Raises Retry when it showed none."""
        if self.server_time is None:
            raise errors.Retry(
                "Salesforce's answer carried no date, and our own clock is no substitute. We will try again.",
                cause="no_server_date",
            )
        return self.server_time

    def shown(self, object_type: str) -> ObjectSchema | None:
        """As `get`, asked anew; None for an object that does not exist or is hidden."""
        try:
            return self.get(object_type, fresh=True)
        except errors.FixConfig as error:
            if error.cause != HIDDEN:
                raise
            return None

    def known_fields(self, object_type: str) -> Mapping[str, Mapping[str, Any]]:
        """The fields of a describe that was asked for already; none otherwise."""
        found = self._known.get(object_type)
        return found.fields if found else {}

    def _describe(self, object_type: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        path = data_path(f"/sobjects/{soql.name(object_type)}/describe")
        try:
            return self._api.request("GET", path, headers=headers)
        except errors.Gone as error:
            raise errors.FixConfig(
                f"The integration user may not read {object_type} records in Salesforce, or there are none. Give it Read "
                f"on {object_type}: Setup > Permission Sets > Object Settings.",
                detail=error.detail,
                status=error.status,
                cause=HIDDEN,
            ) from error

    def _take(self, object_type: str, response: requests.Response) -> ObjectSchema:
        self._known[object_type] = ObjectSchema(json_object(response))
        self.server_time = date_of(response)
        return self._known[object_type]


def json_object(response: requests.Response) -> dict[str, Any]:
    """The body of a good answer. One that does not parse was cut off on its way: asking again helps."""
    body = json_of(response)
    if not isinstance(body, dict):
        raise errors.Retry(
            "Salesforce's answer could not be read. We will try again.",
            detail=response.text[:200],
            status=response.status_code,
            cause="unreadable_answer",
        )
    return body


def id_of(body: Mapping[str, Any], name: str) -> str:
    found = str(body.get(name) or "")
    if not is_id(found):
        raise errors.FixConfig(
            f"Salesforce does not tell us its {name}. Give the app the scopes 'api' and 'id', then connect again.",
            detail=", ".join(sorted(body)),
        )
    return to_18(found)


def date_of(response: requests.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError):
        return None


def _spec(field: Mapping[str, Any]) -> FieldSpec:
    kind = KINDS[str(field["type"])]
    options = tuple(
        (str(item["value"]), str(item.get("label") or item["value"]))
        for item in field.get("picklistValues") or ()
        if item.get("active")
    )
    return FieldSpec(
        path=str(field["name"]),
        label=str(field.get("label") or field["name"]),
        kind=kind,
        writable=bool(field.get("updateable")),
        custom=bool(field.get("custom")),
        required=bool(field.get("createable") and not field.get("nillable") and not field.get("defaultedOnCreate")),
        max_length=int(field.get("length") or 0) or None,
        options=options if "picklist" in kind else (),
    )


def _related(field: Mapping[str, Any]) -> list[FieldSpec]:
    """Read only: a lookup is changed by its id, and an owner may be a queue, which has no address."""
    relation = field.get("relationshipName")
    if not relation:
        return []
    label = str(field.get("label") or relation).removesuffix(" ID")
    return [
        FieldSpec(f"{relation}.{name}", f"{label}: {words}", kind, writable=False, custom=bool(field.get("custom")))
        for target in field.get("referenceTo") or ()
        if target in RELATED
        for name, kind, words in (RELATED[target],)
    ]
