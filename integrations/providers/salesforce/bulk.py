"""Writes any number of records by bulk jobs, each once whatever gets lost on the way.

`start` uploads and leaves the jobs open: Salesforce does nothing yet. Only when the caller comes for the results with the
ticket, which it has stored by then, are the jobs set going. So an answer that is lost anywhere in `start` can't write
anything: what was uploaded is never processed, and starting over is safe. Setting a job going twice is refused by Salesforce.

What finds a row again in the results, which come in any order, has to be a real field of the object:
creations carry their key in our external id field and are upserts, so that even a new job with the same rows makes no twins
(on tasks without that field the key goes to `CallObject`, and the job is an insert); updates and deletions are found by
their record's id, and the ticket holds their keys where they differ from it, some 60 bytes each. The same key twice in one
job makes both rows fail.

A bulk job knows less than a batch: it looks for no look-alikes before it creates, follows no converted lead, and takes no
condition (`unmodified_since` is not heeded). It is for many records that are known.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import bulk_failures, bulk_jobs, soql
from integrations.providers.salesforce.bulk_csv import rows_of
from integrations.providers.salesforce.bulk_rows import Refusals, RowMaker, deletions, refusal_of
from integrations.providers.salesforce.bulk_sheets import DELETE, UPSERT, Row, Sheet, sheets
from integrations.providers.salesforce.schema import Schemas, data_path, json_object
from integrations.providers.salesforce.users import Users
from integrations.records.connections import Connection
from integrations.records.remote import RecordWrite, Ticket, Written

UPLOAD_TIMEOUT = 300.0  # seconds until the answer to an upload


class BulkIngest:
    def __init__(
        self,
        connection: Connection,
        api: Api,
        schemas: Schemas,
        users: Users,
        record_url: Callable[[str, str], str],
    ) -> None:
        self._api = api
        self._maker = RowMaker(connection, schemas, users)
        self._record_url = record_url

    def start(self, object_type: str, writes: Iterable[RecordWrite]) -> Ticket:
        """Uploads the writes, which are read once. Nothing is written before `results` is first asked for.

        Raises FixConfig when there are creations and no field of the object can hold their keys.
        """
        refused: Refusals = []
        return self._upload(object_type, self._maker.rows(object_type, writes, refused), refused)

    def start_deletion(self, object_type: str, ids: Iterable[str]) -> Ticket:
        return self._upload(object_type, deletions(ids), [])

    def results(self, ticket: Ticket) -> Iterator[Written]:
        """What became of each record; may be asked for again until `discard`, or for seven days.

        Raises NotReady while a job runs, Gone when Salesforce has forgotten a job.
        """
        looked = [self._advance(job) for job in ticket["jobs"]]
        waits = [wait for _body, wait in looked if wait]
        if waits:
            raise errors.NotReady("Salesforce still writes these records.", after=min(waits))
        return self._results(ticket, [body for body, _wait in looked])

    def discard(self, ticket: Ticket) -> None:
        """Stops what still runs and deletes the jobs. Rows that are written stay written."""
        for job in ticket["jobs"]:
            with contextlib.suppress(errors.Stale, errors.Gone):
                self._api.request("PATCH", _path(job), json={"state": "Aborted"}, repeatable=True)
            with contextlib.suppress(errors.Stale, errors.Gone):
                self._api.request("DELETE", _path(job), repeatable=True)

    # --- up -----------------------------------------------------------------------------------------------------------

    def _upload(self, object_type: str, rows: Iterator[Row], refused: Refusals) -> Ticket:
        ticket: Ticket = {"object": object_type, "jobs": [], "refused": refused}
        try:
            for sheet in sheets(rows):
                self._send(ticket, sheet)
        except Exception:  # also of the caller's own rows: what was uploaded by then is of no use
            with contextlib.suppress(errors.CrmError):
                self.discard(ticket)
            raise
        return ticket

    def _send(self, ticket: Ticket, sheet: Sheet) -> None:
        order = {
            "object": soql.name(ticket["object"]),
            "operation": sheet.operation,
            "contentType": "CSV",
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        }
        if sheet.operation == UPSERT:
            order["externalIdFieldName"] = sheet.match
        # An open job without content is never processed: creating one twice does no harm, nor does uploading.
        created = json_object(self._api.request("POST", data_path("/jobs/ingest"), json=order, repeatable=True))
        job = {"id": str(created["id"]), "operation": sheet.operation, "match": sheet.match, "keys": sheet.keys}
        ticket["jobs"].append(job)
        self._api.request(
            "PUT",
            f"{_path(job)}/batches",
            data=sheet,
            headers={"Content-Type": "text/csv"},
            repeatable=True,
            read_timeout=UPLOAD_TIMEOUT,
        )

    # --- down ---------------------------------------------------------------------------------------------------------

    def _advance(self, job: Mapping[str, Any]) -> tuple[Mapping[str, Any], float]:
        """The job as Salesforce has it, set going if it was not, and the seconds to wait for it: 0 when it is done."""
        response = self._api.request("GET", _path(job))
        body = json_object(response)
        if body.get("state") == bulk_jobs.OPEN:
            with contextlib.suppress(errors.Stale):  # set going by an earlier request whose answer was lost
                self._api.request("PATCH", _path(job), json={"state": "UploadComplete"}, repeatable=True)
            return body, bulk_jobs.FIRST_WAIT
        if body.get("state") in bulk_jobs.ENDED:
            return body, 0.0
        return body, bulk_jobs.wait(bulk_jobs.age(response, body))

    def _results(self, ticket: Ticket, bodies: list[Mapping[str, Any]]) -> Iterator[Written]:
        for key, *noted in ticket["refused"]:
            yield Written(key, error=refusal_of(noted))
        for job, body in zip(ticket["jobs"], bodies, strict=True):
            for row in self._file(job, "successfulResults"):
                yield self._written(ticket, job, row)
            for row in self._file(job, "failedResults"):
                yield _failed(job, row)
            if body.get("state") != bulk_jobs.COMPLETE:
                error = _unprocessed(body)
                for row in self._file(job, "unprocessedrecords"):
                    yield Written(_key(job, row), id=row.get("Id", ""), error=error)

    def _file(self, job: Mapping[str, Any], name: str) -> Iterator[dict[str, str]]:
        response = self._api.request("GET", f"{_path(job)}/{name}", headers={"Accept": "text/csv"}, stream=True)
        with rows_of(response) as rows:
            yield from rows

    def _written(self, ticket: Ticket, job: Mapping[str, Any], row: Mapping[str, str]) -> Written:
        record_id = row["sf__Id"]
        if job["operation"] == DELETE:
            return Written(_key(job, row), id=record_id)
        url = self._record_url(ticket["object"], record_id)
        return Written(_key(job, row), id=record_id, url=url, created=row.get("sf__Created") == "true")


def _path(job: Mapping[str, Any]) -> str:
    return bulk_jobs.path(bulk_jobs.INGEST, str(job["id"]))


def _key(job: Mapping[str, Any], row: Mapping[str, str]) -> str:
    value = row[job["match"]]
    return str(job["keys"].get(value, value))


def _failed(job: Mapping[str, Any], row: Mapping[str, str]) -> Written:
    error = bulk_failures.of_row(row.get("sf__Error", ""))
    record_id = row.get("sf__Id") or row.get("Id") or ""
    if job["operation"] == DELETE and isinstance(error, errors.Gone):
        return Written(_key(job, row), id=record_id)
    return Written(_key(job, row), id=record_id, error=error)


def _unprocessed(body: Mapping[str, Any]) -> errors.CrmError:
    """Why Salesforce left rows alone. They may be sent again unless the job itself was wrong."""
    if body.get("state") == bulk_jobs.FAILED:
        return bulk_failures.of_job(str(body.get("errorMessage") or ""))
    return errors.Retry(
        "This bulk job was stopped in Salesforce before this record's turn. We will try again.",
        cause="bulk_job_aborted",
    )
