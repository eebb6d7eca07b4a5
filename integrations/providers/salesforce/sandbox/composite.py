"""Several requests in one: composite, whose later parts may use the earlier ones' answers, and batch, whose parts are apart."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from integrations.providers.salesforce.sandbox.base import DATA, Counter, body_of
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.sandbox.http import Answer, Request, route

MAX_PARTS, MAX_QUERIES = 25, 5
_COUNTED = re.compile(r"/services/data/[^/]+/(?:query|queryAll|composite/sobjects)(?:[/?]|$)")
_REFERENCE = re.compile(r"@\{(\w+)\.([\w.\[\]]+)\}")


class Composite(Counter):
    @route("POST", f"{DATA}/composite")
    def composite(self, request: Request, **_: str) -> Answer:
        """Counts as one call. The outer answer is 200 whatever the parts say."""
        body = body_of(request)
        parts = body.get("compositeRequest") or []
        _check_parts(parts)
        halt, answers = bool(body.get("allOrNone")), dict[str, Any]()
        if halt:
            raise Refused("INVALID_INPUT", "This organisation takes allOrNone=false only.")
        shown = []
        for part in parts:
            answer = self._part(request, part, answers)
            answers[str(part["referenceId"])] = answer.body
            shown.append(
                {
                    "body": answer.body,
                    "httpHeaders": answer.headers,
                    "httpStatusCode": answer.status,
                    "referenceId": part["referenceId"],
                }
            )
        return Answer(200, {"compositeResponse": shown})

    @route("POST", f"{DATA}/composite/batch")
    def batch(self, request: Request, **_: str) -> Answer:
        """Each part counts as a call of its own."""
        parts = body_of(request).get("batchRequests") or []
        if len(parts) > MAX_PARTS:
            raise Refused("LIMIT_EXCEEDED", f"The batch can't have more than {MAX_PARTS} requests.")
        answers = []
        for part in parts:
            self._used += 1
            answers.append(
                self._inner(request, part["method"], f"/services/data/{part['url']}", part.get("richInput"), {})
            )
        failed = any(answer.status >= 400 for answer in answers)
        results = [{"statusCode": answer.status, "result": answer.body} for answer in answers]
        return Answer(200, {"hasErrors": failed, "results": results})

    def _part(self, request: Request, part: Mapping[str, Any], answers: Mapping[str, Any]) -> Answer:
        try:
            filled = json.loads(_REFERENCE.sub(lambda found: _referred(found, answers), json.dumps(part)))
        except Refused as refused:
            return refused.answer()
        headers = filled.get("httpHeaders") or {}
        return self._inner(request, filled["method"], filled["url"], filled.get("body"), headers)

    def _inner(self, request: Request, method: str, url: str, body: Any, headers: Mapping[str, str]) -> Answer:
        """The outer headers do not reach the parts; only the sign-in does."""
        where = urlsplit(url)
        inner = Request(
            method,
            where.path,
            parse_qs(where.query, keep_blank_values=True),
            {"authorization": request.headers["authorization"], **{k.lower(): v for k, v in headers.items()}},
            json.dumps(body).encode() if body is not None else b"",
        )
        try:
            return self._dispatch(inner)
        except Refused as refused:
            return refused.answer()


def _check_parts(parts: list[dict[str, Any]]) -> None:
    if len(parts) > MAX_PARTS:
        raise Refused("LIMIT_EXCEEDED", f"The request can't have more than {MAX_PARTS} subrequests.")
    if sum(1 for part in parts if _COUNTED.match(str(part.get("url")))) > MAX_QUERIES:
        raise Refused(
            "LIMIT_EXCEEDED", f"The request can't have more than {MAX_QUERIES} query or collection operations."
        )
    names = [part.get("referenceId") for part in parts]
    if len(set(names)) < len(names) or not all(re.fullmatch(r"\w+", str(name or "")) for name in names):
        raise Refused("INVALID_INPUT", "Each subrequest needs a reference id of its own.")


def _referred(found: re.Match[str], answers: Mapping[str, Any]) -> str:
    value: Any = answers.get(found.group(1))
    for step in found.group(2).split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if not isinstance(value, str):
        raise Refused("PROCESSING_HALTED", f"Invalid reference specified: {found.group(0)}")
    return value
