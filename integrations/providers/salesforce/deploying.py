"""Makes whole objects: the Tooling API makes fields only, so a package is handed to the Metadata API's REST resource.

A deployment works by itself for seconds or minutes. Its id is kept with the connection, and the next preparation looks again.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from integrations.contract.ports import Api
from integrations.providers.salesforce.blueprint import OBJECTS
from integrations.providers.salesforce.schema import data_path, id_of, json_object

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
PATH = "/metadata/deployRequest"
BOUNDARY = "dialer-package-7c1f0a"
OPTIONS = {"rollbackOnError": True, "singlePackage": True, "ignoreWarnings": True}
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_FIXED_DATE = (2024, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Deployment:
    id: str
    done: bool
    problem: str = ""


class Deployer:
    def __init__(self, api: Api) -> None:
        self._api = api

    def start(self, names: Sequence[str]) -> str:
        """Hands the package over and returns the deployment's id. An object that is there already is left as it is."""
        response = self._api.request(
            "POST",
            data_path(PATH),
            data=_form(package(names)),
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
            repeatable=True,  # the same package twice makes the same objects
        )
        return id_of(json_object(response), "id")

    def look(self, deployment_id: str) -> Deployment:
        """Raises Gone for one that the account no longer knows (they are kept for a month)."""
        path = f"{data_path(PATH)}/{deployment_id}"
        body = json_object(self._api.request("GET", path, params={"includeDetails": "true"}))
        result = body.get("deployResult") or {}
        done = result.get("done") in (True, "true")
        success = result.get("success") in (True, "true")
        return Deployment(deployment_id, done, _problem(result) if done and not success else "")


def package(names: Sequence[str]) -> bytes:
    """A zip that holds a manifest and a file for each object; the same bytes each time."""
    members = "".join(_tag("members", name) for name in names)
    version = data_path("").rpartition("/v")[2]
    manifest = f"<types>{members}{_tag('name', 'CustomObject')}</types>{_tag('version', version)}"
    files = {"package.xml": _document("Package", manifest)}
    files |= {f"objects/{name}.object": _document("CustomObject", _object(OBJECTS[name])) for name in names}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, _FIXED_DATE), text)
    return content.getvalue()


def _object(blueprint: Mapping[str, Any]) -> str:
    fields = blueprint["fields"].items()
    return "".join(
        [
            _tag("deploymentStatus", "Deployed"),
            _tag("label", blueprint["label"]),
            _tag("pluralLabel", blueprint["plural"]),
            _tag("nameField", blueprint["name"]),
            _tag("sharingModel", "ReadWrite"),
            *(_tag("fields", {"fullName": name, **metadata}) for name, metadata in fields),
        ]
    )


def _tag(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        inside = "".join(_tag(key, part) for key, part in value.items())
    elif isinstance(value, bool):
        inside = "true" if value else "false"
    else:
        inside = escape(str(value))
    return f"<{name}>{inside}</{name}>"


def _document(root: str, inside: str) -> str:
    return f'{HEAD}<{root} xmlns="{NAMESPACE}">{inside}</{root}>\n'


def _form(archive: bytes) -> bytes:
    return b"\r\n".join(
        [
            f"--{BOUNDARY}".encode(),
            b'Content-Disposition: form-data; name="json"',
            b"Content-Type: application/json",
            b"",
            json.dumps({"deployOptions": OPTIONS}).encode(),
            f"--{BOUNDARY}".encode(),
            b'Content-Disposition: form-data; name="file"; filename="deploy.zip"',
            b"Content-Type: application/zip",
            b"",
            archive,
            f"--{BOUNDARY}--".encode(),
            b"",
        ]
    )


def _problem(result: Mapping[str, Any]) -> str:
    return "; ".join(_problems(result)) or str(result.get("errorMessage") or result.get("status") or "failed")


def _problems(result: Mapping[str, Any]) -> Iterator[str]:
    found = (result.get("details") or {}).get("componentFailures") or ()
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, Mapping):
            yield f"{one.get('fullName')}: {one.get('problem')}"
