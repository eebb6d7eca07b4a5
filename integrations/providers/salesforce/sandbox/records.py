"""Records over REST: what there is, queries, single rows with their conditions, and collections of two hundred."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from integrations.providers.salesforce.sandbox.base import DATA, Counter, body_of
from integrations.providers.salesforce.sandbox.objects import RIGHTS
from integrations.providers.salesforce.sandbox.org import SETUP
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.providers.salesforce.sandbox.writing import is_older
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

MAX_COLLECTION = 200
VERSIONS = (("Winter '24", "59.0"), ("Summer '26", "67.0"))
SLOW_LIMITS = {"DailyBulkV2QueryJobs": 10_000, "DailyBulkApiBatches": 15_000, "HourlyTimeBasedWorkflow": 1_000}


class Records(Counter):
    @route("GET", "/services/data")
    def versions(self, _: Request) -> Answer:
        return Answer(200, [{"label": label, "url": f"/services/data/v{n}", "version": n} for label, n in VERSIONS])

    @route("GET", f"{DATA}/limits")
    def limits(self, _: Request, **__: str) -> Answer:
        rest = {name: {"Max": most, "Remaining": most} for name, most in SLOW_LIMITS.items()}
        left = max(0, self.daily_limit - self._used)
        return Answer(200, {"DailyApiRequests": {"Max": self.daily_limit, "Remaining": left}, **rest})

    # --- schema and queries -------------------------------------------------------------------------------------------

    @route("GET", f"{DATA}/sobjects")
    def objects(self, _: Request, **__: str) -> Answer:
        """An object that the user may not read is missing from the list."""
        user = self._user["Id"]
        shown = [
            {"name": name, "label": name, "custom": name.endswith("__c")}
            | {word: self.org.may(right, name, user) for right, word in RIGHTS.items()}
            for name in self.org.object_types()
            if self.org.may("read", name, user)
        ]
        return Answer(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": shown})

    @route("GET", f"{DATA}/sobjects/{{object_type}}/describe")
    def describe(self, request: Request, object_type: str, **_: str) -> Answer:
        """Not modified is judged by the schema alone: a change of rights does not move it."""
        visible = self._visible(object_type)
        headers = {"Last-Modified": format_datetime(self._schema_at(object_type), usegmt=True)}
        since = request.headers.get("if-modified-since", "")
        if since and not is_older(since, self._schema_at(object_type).isoformat()):
            return Answer(304, None, headers)
        user = self._user["Id"]
        body = {
            "name": object_type,
            "label": object_type,
            "custom": object_type.endswith("__c"),
            "replicateable": object_type not in SETUP,
            **{word: self.org.may(right, object_type, user) for right, word in RIGHTS.items()},
            "fields": [field.describe() for field in visible.values()],
        }
        return Answer(200, body, headers)

    def _schema_at(self, object_type: str) -> datetime:
        return datetime.fromtimestamp(int(self.org.schema_changed_at(object_type)), UTC)

    @route("GET", f"{DATA}/query")
    def query(self, request: Request, **_: str) -> Answer:
        return self._listing.first(request, self._user["Id"])

    @route("GET", f"{DATA}/queryAll")
    def query_all(self, request: Request, **_: str) -> Answer:
        return self._listing.first(request, self._user["Id"], deleted=True)

    @route("GET", f"{DATA}/query/{{locator}}")
    def more(self, request: Request, locator: str, **_: str) -> Answer:
        return self._listing.more(request, locator)

    # --- single rows --------------------------------------------------------------------------------------------------

    @route("POST", f"{DATA}/sobjects/{{object_type}}")
    def create(self, request: Request, object_type: str, **_: str) -> Answer:
        self._visible(object_type)
        if object_type in SETUP:
            self.may_customize(request)
        record_id = self._writer(request).create(object_type, body_of(request))
        return Answer(201, {"id": record_id, "success": True, "errors": []})

    @route("GET", f"{DATA}/sobjects/{{object_type}}/{{record_id}}")
    def read(self, request: Request, version: str, object_type: str, record_id: str) -> Answer:
        fields = self._visible(object_type)
        row = self._writer(request).existing(object_type, record_id)
        wanted = [name for name in request.arg("fields").split(",") if name] or list(fields)
        unknown = [name for name in wanted if name not in fields]
        if unknown:
            raise Refused("INVALID_FIELD", f"No such column '{unknown[0]}' on sobject of type {object_type}")
        url = f"/services/data/{version}/sobjects/{object_type}/{row['Id']}"
        return Answer(200, {"attributes": {"type": object_type, "url": url}} | {name: row.get(name) for name in wanted})

    @route("PATCH", f"{DATA}/sobjects/{{object_type}}/{{record_id}}")
    def update(self, request: Request, object_type: str, record_id: str, **_: str) -> Answer:
        self._visible(object_type)
        writer = self._writer(request)
        if writer.is_stale(object_type, record_id):
            return Answer(412)
        writer.update(object_type, record_id, body_of(request))
        return Answer(204)

    @route("DELETE", f"{DATA}/sobjects/{{object_type}}/{{record_id}}")
    def delete(self, request: Request, object_type: str, record_id: str, **_: str) -> Answer:
        self._visible(object_type)
        writer = self._writer(request)
        if writer.is_stale(object_type, record_id):
            return Answer(412)
        writer.delete(object_type, record_id)
        return Answer(204)

    @route("PATCH", f"{DATA}/sobjects/{{object_type}}/{{key_field}}/{{key}}")
    def upsert(self, request: Request, version: str, object_type: str, key_field: str, key: str) -> Answer:
        self._visible(object_type)
        writer = self._writer(request)
        matching = writer.matching(object_type, key_field, key)
        if len(matching) > 1:
            return Answer(300, [f"/services/data/{version}/sobjects/{object_type}/{found}" for found in matching])
        record_id, created = writer.upsert(object_type, key_field, key, body_of(request))
        if not created and _number(version) < 46:
            return Answer(204)
        return Answer(201 if created else 200, {"id": record_id, "success": True, "errors": [], "created": created})

    # --- collections --------------------------------------------------------------------------------------------------

    @route("POST", f"{DATA}/composite/sobjects")
    def create_many(self, request: Request, **_: str) -> Answer:
        writer = self._writer(request)

        def create(object_type: str, record: Mapping[str, Any]) -> dict[str, Any]:
            if object_type in SETUP:
                self.may_customize(request)
            return {"id": writer.create(object_type, record), "success": True, "errors": []}

        return self._each(request, create)

    @route("PATCH", f"{DATA}/composite/sobjects")
    def update_many(self, request: Request, **_: str) -> Answer:
        writer = self._writer(request)
        seen: set[str] = set()

        def update(object_type: str, record: Mapping[str, Any]) -> dict[str, Any]:
            record_id = str(record.get("id") or "")
            if record_id[:15] in seen:
                raise Refused("DUPLICATE_VALUE", f"Duplicate id in list: {record_id}")
            seen.add(record_id[:15])
            writer.update(object_type, record_id, {name: value for name, value in record.items() if name != "id"})
            return {"id": record["id"], "success": True, "errors": []}

        return self._each(request, update)

    @route("PATCH", f"{DATA}/composite/sobjects/{{wanted_type}}/{{key_field}}")
    def upsert_many(self, request: Request, wanted_type: str, key_field: str, **_: str) -> Answer:
        writer = self._writer(request)
        writer.matching(wanted_type, key_field, "-")  # an unknown key field fails the whole request
        keys = [str(record.get(key_field) or "") for record in body_of(request).get("records") or ()]

        def upsert(object_type: str, record: Mapping[str, Any]) -> dict[str, Any]:
            if object_type != wanted_type:
                raise Refused("INVALID_FIELD", f"records must be of type {wanted_type}")
            key = record.get(key_field)
            if keys.count(str(key or "")) > 1:
                raise Refused("DUPLICATE_VALUE", f"Duplicate external id specified: {key}", [key_field])
            values = {name: value for name, value in record.items() if name != key_field}
            record_id, created = writer.upsert(object_type, key_field, key, values)
            return {"id": record_id, "success": True, "errors": [], "created": created}

        return self._each(request, upsert)

    @route("DELETE", f"{DATA}/composite/sobjects")
    def delete_many(self, request: Request, **_: str) -> Answer:
        writer = self._writer(request)
        ids = [one for one in request.arg("ids").split(",") if one]
        _check_size(ids)

        def delete(record_id: str) -> dict[str, Any]:
            return {"id": writer.delete_any(record_id), "success": True, "errors": []}

        return Answer(200, [_answered(delete, one) for one in ids])

    def _each(self, request: Request, write: Callable[[str, Mapping[str, Any]], dict[str, Any]]) -> Answer:
        """The whole answer is 200 whatever happened to the records; results stand in the order of the request."""
        records = body_of(request).get("records") or []
        _check_size(records)

        def one(record: Document) -> dict[str, Any]:
            object_type = str((record.get("attributes") or {}).get("type") or "")
            self._visible(object_type)
            return write(object_type, {name: value for name, value in record.items() if name != "attributes"})

        return Answer(200, [_answered(one, record) for record in records])


def _check_size(items: list[Any]) -> None:
    if len(items) > MAX_COLLECTION:
        raise Refused(
            "EXCEEDED_MAX_SIZE_REQUEST", f"record limit reached. cannot submit more than {MAX_COLLECTION} records"
        )


def _answered(write: Callable[[Any], dict[str, Any]], item: Any) -> dict[str, Any]:
    try:
        return write(item)
    except Refused as refused:
        return refused.result()


def _number(version: str) -> float:
    return float(version.removeprefix("v"))
