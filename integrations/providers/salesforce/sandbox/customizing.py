"""What administrators make by API: fields by the Tooling API, whole objects by a deployment of the Metadata API.

Nobody sees anything new until a permission set grants it. A deployment takes a while (dial `slow_deploy`) and is all or nothing.
"""

import io
import json
import re
import zipfile
from email import message_from_bytes
from typing import Any
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import ParseError, fromstring

from integrations.providers.salesforce.sandbox.base import DATA, Counter, body_of
from integrations.providers.salesforce.sandbox.objects import METADATA_TYPES
from integrations.providers.salesforce.sandbox.org import SCHEMA
from integrations.providers.salesforce.sandbox.refused import Refused, not_found
from integrations.sandbox.http import Answer, Request, route
from integrations.sandbox.store import Document

DEPLOYMENTS = "_deployments"
HOSTS = ("Activity", "Lead", "Contact", "Account", "Opportunity")
XML = "{http://soap.sforce.com/2006/04/metadata}"
NO_REQUIRED = ("Checkbox", "LongTextArea")


class Customizing(Counter):
    @route("GET", f"{DATA}/tooling/query")
    def tooling_query(self, request: Request, **_: str) -> Answer:
        self.may_customize(request)
        return self._listing.first(request, self._user["Id"], tooling=True)

    @route("POST", f"{DATA}/tooling/sobjects/CustomField")
    def create_field(self, request: Request, **_: str) -> Answer:
        """A new field is seen by nobody until a permission set grants it."""
        self.may_customize(request)
        body = body_of(request)
        host, _dot, name = str(body.get("FullName") or "").partition(".")
        if host not in HOSTS or not name.endswith("__c"):
            message = f"Entity Enumeration Or ID: bad value for restricted picklist field: {host}"
            raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, ["FullName"])
        metadata = body.get("Metadata") or {}
        _check_metadata(name, metadata)
        if self._has_field(host, name):
            message = f"There is already a field named {name.removesuffix('__c')} on {host}."
            raise Refused("DUPLICATE_DEVELOPER_NAME", message, ["DeveloperName"])
        slow = self.faults.draw(request.method, request.path, "slow_schema")
        made = self._make_field(host, host, name, metadata, after=slow.seconds if slow else 0)
        return Answer(201, {"id": made["Id"], "success": True, "errors": [], "warnings": [], "infos": []})

    @route("POST", f"{DATA}/metadata/deployRequest")
    def deploy(self, request: Request, **_: str) -> Answer:
        self.may_customize(request)
        options, package = _parts(request)
        slow = self.faults.draw(request.method, request.path, "slow_deploy")
        broken = self.faults.draw(request.method, request.path, "bad_deploy")
        job: Document = {
            "id": self.org.new_id("Deployment"),
            "options": options,
            "files": package,
            "ready_at": self.clock.timestamp() + (slow.seconds if slow else 0),
            "problem": "The organisation has reached its limit of custom objects." if broken else "",
            "done": False,
        }
        self.store.put(DEPLOYMENTS, job["id"], job)
        return Answer(201, {"id": job["id"], "deployOptions": options, "deployResult": _shown(job, "Pending")})

    @route("GET", f"{DATA}/metadata/deployRequest/{{job_id}}")
    def deployment(self, request: Request, job_id: str, **_: str) -> Answer:
        self.may_customize(request)
        job = self.store.get(DEPLOYMENTS, job_id)
        if job is None:
            raise not_found()
        if self.clock.timestamp() < job["ready_at"]:
            return Answer(200, {"id": job_id, "deployResult": _shown(job, "InProgress")})
        if not job["done"] and not job["problem"]:
            for name, text in job["files"].items():
                self._make_object(name, fromstring(text))
        self.store.put(DEPLOYMENTS, job_id, {**job, "done": True})
        return Answer(200, {"id": job_id, "deployResult": _shown({**job, "done": True}, "")})

    def _make_object(self, name: str, root: Element) -> None:
        developer_name = name.removesuffix("__c")
        known = [row for row in self.store.all("CustomObject") if row["DeveloperName"] == developer_name]
        prefix = f"a{self.store.count('CustomObject'):02d}"
        made = known[0] if known else {"Id": self.org.new_id("CustomObject"), "Prefix": prefix}
        self.org.save("CustomObject", {**made, "DeveloperName": developer_name})
        for field in root.findall(f"{XML}fields"):
            metadata = {str(part.tag).removeprefix(XML): _value(part.text or "") for part in field}
            field_name = str(metadata.pop("fullName"))
            if not self._has_field(name, field_name):
                self._make_field(name, made["Id"], field_name, metadata)

    def _has_field(self, host: str, name: str) -> bool:
        wanted = (host, name.removesuffix("__c"))
        rows = self.store.all("CustomField")
        return any((row.get("Host", row["TableEnumOrId"]), row["DeveloperName"]) == wanted for row in rows)

    def _make_field(self, host: str, table: str, name: str, metadata: Any, *, after: float = 0) -> Document:
        row = {
            "Id": self.org.new_id("CustomField"),
            "TableEnumOrId": table,
            "Host": host,
            "DeveloperName": name.removesuffix("__c"),
            "Metadata": metadata,
            "visible_from": self.clock.timestamp() + after,
        }
        self.org.save("CustomField", row)
        self.store.put(SCHEMA, host, {"at": row["visible_from"]})
        return row


def _check_metadata(name: str, metadata: Any) -> None:
    kind = metadata.get("type")
    if kind not in METADATA_TYPES:
        raise Refused("FIELD_INTEGRITY_EXCEPTION", f"{name}: bad field type {kind}", ["Type"])
    if kind in NO_REQUIRED and "required" in metadata:
        raise Refused(
            "FIELD_INTEGRITY_EXCEPTION", f"Can not specify 'required' for a field of type {kind}", ["Required"]
        )
    if kind == "Checkbox" and "defaultValue" not in metadata:
        raise Refused("FIELD_INTEGRITY_EXCEPTION", "Must specify 'defaultValue' for a field of type Checkbox")
    if kind == "Text" and not 0 < int(metadata.get("length") or 0) <= 255:
        raise Refused("FIELD_INTEGRITY_EXCEPTION", "Must specify 'length' for a field of type Text", ["Length"])


def _parts(request: Request) -> tuple[dict[str, Any], dict[str, str]]:
    """The options, and the object files of the package by the object's name."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    parts: dict[str, bytes] = {}
    for part in message_from_bytes(head + request.body).walk():
        found = re.search(r'name="(\w+)"', part.get("Content-Disposition", ""))
        if found:
            parts[found.group(1)] = bytes(part.get_payload(decode=True) or b"")
    try:
        options = json.loads(parts["json"])["deployOptions"]
        with zipfile.ZipFile(io.BytesIO(parts["file"])) as package:
            files = {name: package.read(name).decode() for name in package.namelist()}
        fromstring(files.pop("package.xml"))
        objects = {name.removeprefix("objects/").removesuffix(".object"): text for name, text in files.items()}
        for text in objects.values():
            fromstring(text)
    except (KeyError, ValueError, ParseError, zipfile.BadZipFile) as error:
        raise Refused("INVALID_INPUT", f"The deployment can't be read: {error}") from error
    return options, objects


def _shown(job: Document, status: str) -> dict[str, Any]:
    failures = [{"fullName": "Dialer", "problem": job["problem"]}] if job["problem"] and job["done"] else []
    final = "Failed" if failures else "Succeeded"
    return {
        "id": job["id"],
        "status": status or final,
        "done": job["done"],
        "success": job["done"] and not failures,
        "details": {"componentFailures": failures, "componentSuccesses": []},
    }


def _value(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)
