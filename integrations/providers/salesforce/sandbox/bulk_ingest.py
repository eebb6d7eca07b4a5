"""Bulk writes: one upload per job, processed in no order, with failed rows inside jobs that are complete."""

import csv
import io
import random
from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from integrations.providers.salesforce.sandbox.base import DATA, body_of
from integrations.providers.salesforce.sandbox.bulk_jobs import BulkJobs, Job
from integrations.providers.salesforce.sandbox.bulk_query import CSV
from integrations.providers.salesforce.sandbox.bulk_rows import pieces
from integrations.providers.salesforce.sandbox.objects import Field
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.providers.salesforce.sandbox.writing import Writer
from integrations.sandbox.http import Answer, Request, route

MOST_BYTES = 100_000_000
MOST_LETTERS = 32_000
OPERATIONS = {"insert", "update", "upsert", "delete"}
NUMBERS = {"int", "double", "currency", "percent"}


@dataclass(slots=True)
class Outcome:
    """What became of an upload. Each row: what the organisation says, then the cells as they came."""

    header: list[str]
    good: list[list[str]] = field(default_factory=list)
    bad: list[list[str]] = field(default_factory=list)
    left: list[list[str]] = field(default_factory=list)


class BulkIngest(BulkJobs):
    @route("POST", f"{DATA}/jobs/ingest")
    def create_ingest(self, request: Request, **_: str) -> Answer:
        body = body_of(request)
        object_type, operation = str(body.get("object") or ""), body.get("operation")
        if not self.org.may("read", object_type, self._user["Id"]):
            raise Refused("InvalidEntity", f"Unable to find object: {object_type}")
        if operation not in OPERATIONS:
            raise Refused("InvalidOperation", f"Unsupported operation: {operation}")
        if body.get("contentType") != "CSV" or body.get("lineEnding", "LF") not in {"LF", "CRLF"}:
            raise Refused("API_ERROR", "Only CSV with LF or CRLF is taken")
        key = str(body.get("externalIdFieldName") or "")
        if bool(key) != (operation == "upsert"):
            raise Refused("INVALIDJOB", "externalIdFieldName goes with upsert, and with nothing else")
        shown: dict[str, Any] = {"operation": operation, "object": object_type}
        if key:
            self._writer(request).matching(object_type, key, "-")  # refuses a field that is no external id
            shown["externalIdFieldName"] = key
        job = self._new_job(request, "ingest", "Open", shown)
        job.shown["contentUrl"] = f"services/data/{job.version}/jobs/ingest/{job.id}/batches"
        return Answer(200, job.shown)

    @route("PUT", f"{DATA}/jobs/ingest/{{job_id}}/batches")
    def upload(self, request: Request, job_id: str, **_: str) -> Answer:
        job = self._job(request, job_id, "ingest")
        if job.state != "Open" or job.uploaded:
            raise Refused("InvalidJobState", f"Found multiple contents for job: {job.id}, please 'Close' the job")
        if not request.headers.get("content-type", "").startswith("text/csv"):
            return Answer(415, [{"errorCode": "UNSUPPORTED_MEDIA_TYPE", "message": "Send text/csv"}])
        if len(request.body) > MOST_BYTES:
            return Answer(413, [{"errorCode": "ClientInputError", "message": "Maximum size of 150 MB exceeded"}])
        job.uploaded, job.content = True, request.body
        return Answer(201)

    @route("PATCH", f"{DATA}/jobs/ingest/{{job_id}}")
    def close_ingest(self, request: Request, job_id: str, **_: str) -> Answer:
        job = self._job(request, job_id, "ingest")
        if body_of(request).get("state") != "UploadComplete":
            return self._aborted(request, job)
        if job.state != "Open":
            raise Refused("InvalidJobState", f"Closing an already closed job is not allowed: {job.state}")
        job.state = "UploadComplete"
        return Answer(200, job.shown)

    @route("GET", f"{DATA}/jobs/ingest/{{job_id}}")
    def look_at_ingest(self, request: Request, job_id: str, **_: str) -> Answer:
        job = self._job(request, job_id, "ingest")
        if self._look(job):
            self._process(job, request)
        return Answer(200, {**job.shown, "jobType": "V2Ingest"})

    @route("DELETE", f"{DATA}/jobs/ingest/{{job_id}}")
    def delete_ingest(self, request: Request, job_id: str, **_: str) -> Answer:
        return self._deleted(self._job(request, job_id, "ingest"))

    @route("GET", f"{DATA}/jobs/ingest/{{job_id}}/successfulResults")
    def good_rows(self, request: Request, job_id: str, **_: str) -> Answer:
        outcome = self._outcome(request, job_id)
        return Answer(200, pieces(["sf__Id", "sf__Created", *outcome.header], outcome.good), dict(CSV))

    @route("GET", f"{DATA}/jobs/ingest/{{job_id}}/failedResults")
    def bad_rows(self, request: Request, job_id: str, **_: str) -> Answer:
        outcome = self._outcome(request, job_id)
        return Answer(200, pieces(["sf__Id", "sf__Error", *outcome.header], outcome.bad), dict(CSV))

    @route("GET", f"{DATA}/jobs/ingest/{{job_id}}/unprocessedrecords")
    def rows_left(self, request: Request, job_id: str, **_: str) -> Answer:
        outcome = self._outcome(request, job_id)
        return Answer(200, pieces(outcome.header, outcome.left), dict(CSV))

    def _outcome(self, request: Request, job_id: str) -> Outcome:
        job = self._job(request, job_id, "ingest")
        if job.state == "Aborted" and not isinstance(job.content, Outcome):
            header, *rows = _table(job.content or b"")
            job.content = Outcome(header, left=rows)
        if not isinstance(job.content, Outcome):
            raise Refused("JOB_NOT_COMPLETE", f"Job is not complete: {job.state}", status=412)
        return job.content

    # --- processing ---------------------------------------------------------------------------------------------------

    def _process(self, job: Job, request: Request) -> None:
        header, *rows = _table(job.content or b"")
        job.content = outcome = Outcome(header)
        fields = self.org.visible(job.shown["object"], self._user["Id"])
        unknown = [name for name in header if name not in fields]
        failing = self._fail(job, request)
        if unknown or (failing and str(job.shown.get("errorMessage", "")).startswith("InvalidBatch")):
            job.state = "Failed"
            job.shown.setdefault("errorMessage", f"InvalidBatch : Field name not found : {', '.join(unknown)}")
            outcome.left = rows
            return
        rest = len(rows) // 2 if failing else len(rows)
        outcome.left = rows[rest:]
        self._write(job, request, outcome, rows[:rest], fields)
        for some in (outcome.good, outcome.bad):
            random.Random(job.id).shuffle(some)  # noqa: S311 - repeatable on purpose
        if not failing:
            job.state = "JobComplete"
        done, failed = len(outcome.good) + len(outcome.bad), len(outcome.bad)
        job.shown |= {"numberRecordsProcessed": done, "numberRecordsFailed": failed, "retries": 0}

    def _write(
        self, job: Job, request: Request, outcome: Outcome, rows: list[list[str]], fields: Mapping[str, Field]
    ) -> None:
        shown, writer = job.shown, self._writer(request)
        origin = writer.origin.replace("/rest/", "/bulkapi/")
        writer = replace(writer, origin=origin, auto_assign=bool(shown.get("assignmentRuleId")))
        tally = (
            Tally(row[outcome.header.index(shown["externalIdFieldName"])] for row in rows) if _upserts(shown) else {}
        )
        for row in rows:
            values = {name: text for name, text in zip(outcome.header, row, strict=True) if text}
            try:
                if _upserts(shown) and tally[values.get(shown["externalIdFieldName"], "")] > 1:
                    key = values[shown["externalIdFieldName"]]
                    raise Refused("DUPLICATE_VALUE", f"Duplicate external id specified: {key}")
                record_id, created = _one(writer, shown, dict(_typed(fields, values)))
                outcome.good.append([record_id, "true" if created else "false", *row])
            except Refused as refused:
                error = f"{refused.code}:{refused.message}:{','.join(refused.fields)} --"
                outcome.bad.append([values.get("Id", ""), error, *row])


def _upserts(shown: Mapping[str, Any]) -> bool:
    return bool(shown["operation"] == "upsert")


def _one(writer: Writer, shown: Mapping[str, Any], values: dict[str, Any]) -> tuple[str, bool]:
    """One row: the record's id, and whether it was made."""
    object_type, operation = shown["object"], shown["operation"]
    if operation == "insert":
        return writer.create(object_type, values), True
    if operation == "upsert":
        key = values.pop(shown["externalIdFieldName"], None)
        return writer.upsert(object_type, shown["externalIdFieldName"], key, values)
    record_id = str(values.pop("Id", "") or "")
    if operation == "delete":
        writer.delete(object_type, record_id)
    else:
        writer.update(object_type, record_id, values)
    return record_id, False


def _typed(fields: Mapping[str, Field], values: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name, text in values.items():
        kind = fields[name].type
        if text == "#N/A":
            yield name, None
        elif len(text) > MOST_LETTERS:
            raise Refused("STRING_TOO_LONG", f"{name}: data value too large (max length={MOST_LETTERS})", [name])
        elif kind == "boolean":
            yield name, text.lower() in {"true", "1"}
        elif kind in NUMBERS:
            yield name, _number(name, kind, text)
        else:
            yield name, text


def _number(name: str, kind: str, text: str) -> float:
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError as error:
        message = f"{name}: value not of required type: {text}"
        raise Refused("INVALID_TYPE_ON_FIELD_IN_RECORD", message, [name]) from error


def _table(content: bytes) -> list[list[str]]:
    """Header and rows."""
    found = list(csv.reader(io.StringIO(content.decode(), newline="")))
    return found or [[]]
