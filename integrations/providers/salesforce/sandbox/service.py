"""The fake organisation's HTTP side: who may ask, which path does what, and how answers and errors look."""

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from integrations.providers.salesforce.sandbox.books import Books
from integrations.providers.salesforce.sandbox.listing import Listing
from integrations.providers.salesforce.sandbox.objects import METADATA_TYPES, OBJECTS, TOOLING, Field
from integrations.providers.salesforce.sandbox.org import Org
from integrations.providers.salesforce.sandbox.refused import Refused, not_found
from integrations.providers.salesforce.sandbox.seed import Seeder
from integrations.providers.salesforce.sandbox.tokens import Tokens
from integrations.providers.salesforce.sandbox.writing import Writer
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document, Store

MAX_COLLECTION = 200
DAILY_LIMIT = 100_000
OLDEST_VERSION = 31
DATA = "/services/data/{version}"
CUSTOMIZING = ("PermissionSet", "FieldPermissions", "PermissionSetAssignment", "CustomField")


class Sandbox(Books):
    slug: ClassVar[str] = "salesforce"

    def __init__(self, store: Store, clock: Clock, faults: Faults) -> None:
        super().__init__(store, clock, faults)
        self.org = Org(store, clock)
        self.tokens = Tokens(self.org, faults)
        self._listing = Listing(self.org, faults)
        self._user: Document = {}
        self._used = 0

    def seed(self) -> None:
        if not self.store.count("Organization"):
            Seeder(self.org).fill()

    def handle(self, request: Request) -> Answer:
        try:
            return super().handle(request)
        except Refused as refused:
            return self.after(request, refused.answer())

    def before(self, request: Request) -> Answer | None:
        self.org.commit_due()
        if not request.path.startswith("/services/data/"):
            return None
        user = self.tokens.user_of(request)
        if user is None:
            raise Refused("INVALID_SESSION_ID", "Session expired or invalid", status=401)
        version = re.match(r"/services/data/v(\d+)\.0/", request.path)
        if version and int(version.group(1)) < OLDEST_VERSION:
            raise Refused("UNSUPPORTED_API_VERSION", "This API version is retired", status=410)
        self._user = user
        return None

    def after(self, request: Request, answer: Answer) -> Answer:
        if request.path.startswith("/services/data/"):
            self._used += 1
            answer.headers["Sforce-Limit-Info"] = (
                f"api-usage={self._used}/{DAILY_LIMIT}; per-app-api-usage=17/250(appName=sandbox)"
            )
        return answer

    def not_found(self, request: Request) -> Answer:
        return not_found(f"The requested resource does not exist: {request.path}").answer()

    # --- sign-in ------------------------------------------------------------------------------------------------------

    @route("POST", "/services/oauth2/token")
    def token(self, request: Request) -> Answer:
        return self.tokens.grant(request)

    @route("POST", "/services/oauth2/revoke")
    def revoke(self, request: Request) -> Answer:
        return self.tokens.revoke(request)

    @route("GET", "/services/oauth2/userinfo")
    def user_info(self, request: Request) -> Answer:
        return self.tokens.user_info(request)

    @route("GET", "/services/data")
    def versions(self, _: Request) -> Answer:
        return Answer(200, [{"label": "Winter '24", "url": "/services/data/v59.0", "version": "59.0"}])

    # --- schema and queries -------------------------------------------------------------------------------------------

    @route("GET", f"{DATA}/sobjects")
    def objects(self, _: Request, **__: str) -> Answer:
        names = [{"name": name, "label": name, "queryable": True, "createable": True} for name in OBJECTS]
        return Answer(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": names})

    @route("GET", f"{DATA}/sobjects/{{object_type}}/describe")
    def describe(self, _request: Request, object_type: str, **_: str) -> Answer:
        fields = [field.describe() for field in self._visible(object_type).values()]
        return Answer(200, {"name": object_type, "label": object_type, "fields": fields})

    @route("GET", f"{DATA}/query")
    def query(self, request: Request, **_: str) -> Answer:
        return self._listing.first(request, self._user["Id"])

    @route("GET", f"{DATA}/queryAll")
    def query_all(self, request: Request, **_: str) -> Answer:
        return self._listing.first(request, self._user["Id"], deleted=True)

    @route("GET", f"{DATA}/tooling/query")
    def tooling_query(self, request: Request, **_: str) -> Answer:
        self._may_customize(request)
        return self._listing.first(request, self._user["Id"], tooling=True)

    @route("GET", f"{DATA}/query/{{locator}}")
    def more(self, request: Request, locator: str, **_: str) -> Answer:
        return self._listing.more(request, locator)

    # --- records ------------------------------------------------------------------------------------------------------

    @route("POST", f"{DATA}/sobjects/{{object_type}}")
    def create(self, request: Request, object_type: str, **_: str) -> Answer:
        self._visible(object_type)
        if object_type in CUSTOMIZING:
            self._may_customize(request)
        record_id = self._writer(request).create(object_type, _body(request))
        return Answer(201, {"id": record_id, "success": True, "errors": []})

    @route("GET", f"{DATA}/sobjects/{{object_type}}/{{record_id}}")
    def read(self, request: Request, object_type: str, record_id: str, **_: str) -> Answer:
        fields = self._visible(object_type)
        row = self._writer(request).existing(object_type, record_id)
        return Answer(200, {"attributes": {"type": object_type}} | {name: row.get(name) for name in fields})

    @route("PATCH", f"{DATA}/sobjects/{{object_type}}/{{record_id}}")
    def update(self, request: Request, object_type: str, record_id: str, **_: str) -> Answer:
        self._visible(object_type)
        self._writer(request).update(object_type, record_id, _body(request))
        return Answer(204)

    @route("DELETE", f"{DATA}/sobjects/{{object_type}}/{{record_id}}")
    def delete(self, request: Request, object_type: str, record_id: str, **_: str) -> Answer:
        self._visible(object_type)
        self._writer(request).delete(object_type, record_id)
        return Answer(204)

    @route("PATCH", f"{DATA}/sobjects/{{object_type}}/{{key_field}}/{{key}}")
    def upsert(self, request: Request, version: str, object_type: str, key_field: str, key: str) -> Answer:
        self._visible(object_type)
        writer = self._writer(request)
        matching = writer.matching(object_type, key_field, key)
        if len(matching) > 1:
            return Answer(300, [f"/services/data/{version}/sobjects/{object_type}/{found}" for found in matching])
        record_id, created = writer.upsert(object_type, key_field, key, _body(request))
        return Answer(201 if created else 200, {"id": record_id, "success": True, "errors": [], "created": created})

    # --- collections --------------------------------------------------------------------------------------------------

    @route("POST", f"{DATA}/composite/sobjects")
    def create_many(self, request: Request, **_: str) -> Answer:
        writer = self._writer(request)

        def create(object_type: str, record: Mapping[str, Any]) -> dict[str, Any]:
            return {"id": writer.create(object_type, record), "success": True, "errors": []}

        return self._each(request, create)

    @route("PATCH", f"{DATA}/composite/sobjects")
    def update_many(self, request: Request, **_: str) -> Answer:
        writer = self._writer(request)

        def update(object_type: str, record: Mapping[str, Any]) -> dict[str, Any]:
            values = {name: value for name, value in record.items() if name != "id"}
            writer.update(object_type, str(record.get("id") or ""), values)
            return {"id": record["id"], "success": True, "errors": []}

        return self._each(request, update)

    @route("PATCH", f"{DATA}/composite/sobjects/{{wanted_type}}/{{key_field}}")
    def upsert_many(self, request: Request, wanted_type: str, key_field: str, **_: str) -> Answer:
        writer = self._writer(request)
        writer.matching(wanted_type, key_field, "-")  # an unknown key field fails the whole request

        def upsert(object_type: str, record: Mapping[str, Any]) -> dict[str, Any]:
            if object_type != wanted_type:
                raise Refused("INVALID_FIELD", f"records must be of type {wanted_type}")
            values = {name: value for name, value in record.items() if name != key_field}
            record_id, created = writer.upsert(object_type, key_field, record.get(key_field), values)
            return {"id": record_id, "success": True, "errors": [], "created": created}

        return self._each(request, upsert)

    def _each(self, request: Request, write: Callable[[str, Mapping[str, Any]], dict[str, Any]]) -> Answer:
        """The whole answer is 200 whatever happened to the records; results stand in the order of the request."""
        records = _body(request).get("records") or []
        if len(records) > MAX_COLLECTION:
            raise Refused(
                "EXCEEDED_MAX_SIZE_REQUEST", f"record limit reached. cannot submit more than {MAX_COLLECTION} records"
            )
        results = []
        for record in records:
            try:
                object_type = str((record.get("attributes") or {}).get("type") or "")
                self._visible(object_type)
                results.append(write(object_type, {name: v for name, v in record.items() if name != "attributes"}))
            except Refused as refused:
                results.append(refused.result())
        return Answer(200, results)

    # --- customizing --------------------------------------------------------------------------------------------------

    @route("POST", f"{DATA}/tooling/sobjects/CustomField")
    def create_field(self, request: Request, **_: str) -> Answer:
        """A new field is seen by nobody until a permission set grants it."""
        self._may_customize(request)
        body = _body(request)
        host, _dot, name = str(body.get("FullName") or "").partition(".")
        if host not in {"Activity", "Lead", "Contact", "Account"} or not name.endswith("__c"):
            message = f"Entity Enumeration Or ID: bad value for restricted picklist field: {host}"
            raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, ["FullName"])
        metadata = body.get("Metadata") or {}
        if metadata.get("type") not in METADATA_TYPES:
            raise Refused("FIELD_INTEGRITY_EXCEPTION", f"{name}: bad field type {metadata.get('type')}", ["Type"])
        developer_name = name.removesuffix("__c")
        for row in self.store.all("CustomField"):
            if (row["TableEnumOrId"], row["DeveloperName"]) == (host, developer_name):
                message = f"There is already a field named {developer_name} on {host}."
                raise Refused("DUPLICATE_DEVELOPER_NAME", message, ["DeveloperName"])
        slow = self.faults.draw(request.method, request.path, "slow_schema")
        row = {
            "Id": self.org.new_id("CustomField"),
            "TableEnumOrId": host,
            "DeveloperName": developer_name,
            "Metadata": metadata,
            "visible_from": self.clock.timestamp() + (slow.seconds if slow else 0),
        }
        self.org.save("CustomField", row)
        return Answer(201, {"id": row["Id"], "success": True, "errors": [], "warnings": [], "infos": []})

    def _may_customize(self, request: Request) -> None:
        if self.faults.draw(request.method, request.path, "no_customizing"):
            raise Refused("INSUFFICIENT_ACCESS", "insufficient access rights on cross-reference id", status=403)

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _visible(self, object_type: str) -> dict[str, Field]:
        if object_type not in OBJECTS or object_type in TOOLING:
            raise not_found()
        return self.org.visible(object_type, self._user["Id"])

    def _writer(self, request: Request) -> Writer:
        auto_assign = request.headers.get("sforce-auto-assign", "TRUE").upper() != "FALSE"
        return Writer(self.org, self.faults, self._user["Id"], request.path, auto_assign)


def _body(request: Request) -> dict[str, Any]:
    try:
        body = request.json()
    except ValueError as error:
        raise Refused("JSON_PARSER_ERROR", str(error)) from error
    if not isinstance(body, dict):
        raise Refused("JSON_PARSER_ERROR", "The HTTP entity body is required, but this request has no entity body.")
    return body
