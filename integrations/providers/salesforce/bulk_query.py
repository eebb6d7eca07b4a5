"""The first load of a large object: one bulk query instead of thousands of pages.

A job is submitted once, its id is kept in the feed's cursor, and whoever comes later asks how far it is. The finished result
is read in chunks by locator and handed on in pages; a cursor names the chunk and the row in it, so reading goes on after any
page in any process. The moment from which later runs read on is the service's own clock before the job was submitted:
what changes while the job runs comes twice rather than not at all. Where bulk is refused, or a job fails, reading goes by
pages as for small objects.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from integrations import errors
from integrations.contract.ports import Api
from integrations.providers.salesforce import bulk_failures, bulk_jobs, soql
from integrations.providers.salesforce.bulk_csv import rows_of, typed
from integrations.providers.salesforce.reading import LAG, OWN_FIELDS, Reader
from integrations.providers.salesforce.schema import ObjectSchema, Schemas, data_path, date_of, json_object
from integrations.records.remote import ChangePage, Cursor, RemoteRecord
from integrations.redaction import redact

log = logging.getLogger("dialbridge.salesforce")

BULK_FROM = 2_000
CHUNK = 10_000  # records in one answer
PAGE = 500  # records in one page for the caller: while one is stored, the next is parsed
DEADLINE = timedelta(hours=24).total_seconds()
KEY = "bulk"
LAST_LOCATOR = "null"  # the header's literal text on the last chunk


@dataclass(frozen=True, slots=True)
class Job:
    """Where reading stands: `row` rows of the chunk that begins at `locator` have been handed on."""

    id: str
    until: datetime
    total: int
    locator: str = ""
    row: int = 0

    @classmethod
    def from_cursor(cls, cursor: Cursor | None) -> "Job | None":
        if not cursor or KEY not in cursor:
            return None
        held = cursor[KEY]
        until = datetime.fromisoformat(held["until"])
        return cls(str(held["job"]), until, int(held["total"]), str(held["locator"]), int(held["row"]))

    def cursor(self) -> Cursor:
        held = {"job": self.id, "until": self.until.isoformat(), "total": self.total}
        return {KEY: {**held, "locator": self.locator, "row": self.row}}

    @property
    def path(self) -> str:
        return bulk_jobs.path(bulk_jobs.QUERY, self.id)


class Shape:
    """The columns of a bulk query, and how a row of texts becomes the record that the REST API would give.

    Compound fields can't be selected (their parts can); describe leaves them out already. A relationship is null only if its
    lookup is empty, which a row of texts does not tell, so the lookup's id is selected too.
    """

    def __init__(self, schema: ObjectSchema, paths: Sequence[str]) -> None:
        self.paths = schema.known([*OWN_FIELDS, *schema.mapped(paths)])
        self._kinds = {name: str(field["type"]) for name, field in schema.fields.items()}
        self._lookups = {str(field.get("relationshipName")): name for name, field in schema.fields.items()}
        related = [self._lookups[path.partition(".")[0]] for path in self.paths if "." in path]
        self.columns = list(dict.fromkeys([*self.paths, *related]))

    def record(self, row: Mapping[str, str]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for path in self.paths:
            if path not in row:
                continue  # the mapping has grown since the job was submitted
            relation, _, name = path.rpartition(".")
            value = typed(self._kinds.get(path, "string"), row[path])
            if not relation:
                made[path] = value
            elif not row.get(self._lookups.get(relation, ""), row[path]):
                made[relation] = None
            else:
                made.setdefault(relation, {})[name] = value
        return made


class BulkReader(Reader):
    """A reader whose first load of a large object is a bulk query. `bulk_from` 0 keeps it to pages."""

    def __init__(
        self, api: Api, schemas: Schemas, record_url: Callable[[str, str], str], *, bulk_from: int = BULK_FROM
    ) -> None:
        super().__init__(api, schemas, record_url)
        self._bulk_from = bulk_from

    def changes(self, object_type: str, cursor: Cursor | None, paths: Sequence[str]) -> Iterator[ChangePage]:
        """Raises NotReady while the job runs, once its id has been handed on in a cursor."""
        kept = Job.from_cursor(cursor)
        if cursor and kept is None:
            yield from super().changes(object_type, cursor, paths)
            return
        job = kept or self._submit(object_type, paths)
        if job is None:
            yield from super().changes(object_type, None, paths)
            return
        if kept is None:
            yield ChangePage((), job.cursor(), job.total)
        try:
            yield from self._pages(object_type, job, paths)
        except (errors.Gone, errors.Stale) as error:
            if kept is None:
                raise errors.Retry(error.message, detail=error.detail, cause=error.cause) from error
            # Kept for seven days, or made by another version of the API: what was read by then comes again.
            log.warning("Salesforce bulk job %s can't be read any more: %s", job.id, error.detail)
            yield from self.changes(object_type, None, paths)

    def _pages(self, object_type: str, job: Job, paths: Sequence[str]) -> Iterator[ChangePage]:
        if self._is_complete(job):
            yield from self._results(object_type, job, paths)
            self._discard(job)
        else:
            yield from super().changes(object_type, None, paths)

    # --- the job ------------------------------------------------------------------------------------------------------

    def _submit(self, object_type: str, paths: Sequence[str]) -> Job | None:
        """None when the object is small or bulk is not to be had."""
        total, now = self._count(object_type)
        if not self._bulk_from or total <= self._bulk_from:
            return None
        query = soql.select(Shape(self._schemas.get(object_type), paths).columns, object_type)
        try:
            # A query that is submitted twice does no harm: the other job's result is never asked for.
            body = json_object(
                self._api.request(
                    "POST", data_path("/jobs/query"), json={"operation": "query", "query": query}, repeatable=True
                )
            )
        except (errors.FixConfig, errors.FixData, errors.Gone) as error:
            _note_refusal(object_type, error)
            return None
        except errors.Throttled as error:
            if error.cause != bulk_failures.QUOTA:
                raise
            _note_refusal(object_type, error)
            return None
        return Job(str(body["id"]), now - LAG, total)

    def _count(self, object_type: str) -> tuple[int, datetime]:
        """How many there are, and the service's clock before anything is read."""
        self._schemas.get(object_type, fresh=True)
        if not self._bulk_from:
            return 0, self._server_time()
        query = f"SELECT COUNT() FROM {soql.name(object_type)}"  # noqa: S608 - the name is checked
        try:
            response = self._api.request("GET", data_path("/query"), params={"q": query})
        except errors.Retry as error:
            if error.cause != "too_slow":
                raise
            return self._bulk_from + 1, self._server_time()  # too many to be counted in time
        except (errors.FixConfig, errors.FixData):
            return 0, self._server_time()
        return int(json_object(response).get("totalSize") or 0), date_of(response) or self._server_time()

    def _is_complete(self, job: Job) -> bool:
        """False for a job that will never be. Raises NotReady while it runs."""
        response = self._api.request("GET", job.path)
        body = json_object(response)
        state = str(body.get("state") or "")
        if state == bulk_jobs.COMPLETE:
            return True
        age = bulk_jobs.age(response, body)
        if state not in bulk_jobs.ENDED and age <= DEADLINE:
            raise errors.NotReady(
                "Salesforce prepares the records for us.", after=bulk_jobs.wait(age), detail=f"{job.id}: {state}"
            )
        reason = redact(str(body.get("errorMessage") or "no reason given"))
        log.warning("Salesforce bulk job %s ended as %s, reading goes on by pages: %s", job.id, state, reason)
        self._discard(job, abort=state not in bulk_jobs.ENDED)
        return False

    def _discard(self, job: Job, *, abort: bool = False) -> None:
        """Results take up the organisation's space for a week otherwise; nothing depends on it."""
        with contextlib.suppress(errors.CrmError):
            if abort:
                self._api.request("PATCH", job.path, json={"state": "Aborted"}, repeatable=True)
            self._api.request("DELETE", job.path, repeatable=True)

    # --- its result ---------------------------------------------------------------------------------------------------

    def _results(self, object_type: str, job: Job, paths: Sequence[str]) -> Iterator[ChangePage]:
        shape = Shape(self._schemas.get(object_type), paths)
        while True:
            params: dict[str, Any] = {"maxRecords": CHUNK}
            if job.locator:
                params["locator"] = job.locator
            response = self._api.request(
                "GET", f"{job.path}/results", params=params, headers={"Accept": "text/csv"}, stream=True
            )
            following = _next_locator(response.headers.get("Sforce-Locator", LAST_LOCATOR), job)
            with rows_of(response) as rows:
                for batch, is_last in _batches(islice(rows, job.row, None)):
                    records = [self._bulk_record(object_type, shape, row) for row in batch]
                    job = replace(job, row=job.row + len(batch))
                    if is_last:
                        job = replace(job, locator=following, row=0)
                    done = is_last and not following
                    cursor = {"until": job.until.isoformat()} if done else job.cursor()
                    yield ChangePage(records, cursor, job.total, done)
            if not following:
                return

    def _bulk_record(self, object_type: str, shape: Shape, row: Mapping[str, str]) -> RemoteRecord:
        return replace(self._record(object_type, shape.record(row)), raw=row)


def _note_refusal(object_type: str, error: errors.CrmError) -> None:
    log.warning("Salesforce takes no bulk query of %s, which is read by pages: %s", object_type, error.detail)


def _next_locator(locator: str, job: Job) -> str:
    """Empty on the last chunk. A chunk that leads back to itself would be read for ever."""
    if locator and locator == job.locator:
        raise errors.Retry(
            "Salesforce's bulk result has a next part but does not say where. We will try again.",
            detail=locator,
            cause="unreadable_answer",
        )
    return "" if locator == LAST_LOCATOR else locator


def _batches(rows: Iterator[dict[str, str]]) -> Iterator[tuple[list[dict[str, str]], bool]]:
    """Batches and whether they are the last; an empty last one when there is none at all."""
    first: tuple[dict[str, str], ...] = ()
    while True:
        batch = [*first, *islice(rows, PAGE - len(first))]
        first = tuple(islice(rows, 1))
        yield batch, not first
        if not first:
            return
