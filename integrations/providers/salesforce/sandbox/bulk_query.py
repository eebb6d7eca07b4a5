"""Bulk queries: submitted, looked at until they end, read in parts by locator."""

import base64
import re
from collections.abc import Iterator

from integrations.providers.salesforce.sandbox.base import DATA, body_of
from integrations.providers.salesforce.sandbox.bulk_jobs import BulkJobs, Job
from integrations.providers.salesforce.sandbox.bulk_rows import BulkRun, Grown, pieces
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.sandbox.http import Answer, Request, route

MOST_RECORDS = 50_000
NEVER = re.compile(r"\b(GROUP\s+BY|OFFSET|TYPEOF)\b|\b(COUNT|SUM|AVG|MIN|MAX)\s*\(|\(\s*SELECT", re.IGNORECASE)
COUNT = re.compile(r"\s*SELECT\s+COUNT\(\)\s+FROM\s+(\w+)\s*", re.IGNORECASE)
CSV = {"Content-Type": "text/csv"}


class BulkQuery(BulkJobs):
    def grow(self, count: int, object_type: str = "Lead") -> None:
        """Makes the organisation as large as that beside what it holds. COUNT() and bulk queries alone see it."""
        Grown(self.org).grow(object_type, count)

    def before(self, request: Request) -> Answer | None:
        """COUNT() is answered here, since only here the made-up people are known."""
        answer = super().before(request)
        found = COUNT.fullmatch(request.arg("q")) if request.path.endswith("/query") else None
        if answer is not None or found is None:
            return answer
        self._visible(found.group(1))
        stored = sum(1 for row in self.store.all(found.group(1)) if not row.get("IsDeleted"))
        total = stored + Grown(self.org).count(found.group(1))
        return Answer(200, {"totalSize": total, "done": True, "records": []})

    @route("POST", f"{DATA}/jobs/query")
    def submit_query(self, request: Request, **_: str) -> Answer:
        body = body_of(request)
        text, operation = str(body.get("query") or ""), body.get("operation")
        if operation not in {"query", "queryAll"}:
            raise Refused("InvalidOperation", f"{operation} is no operation of a query job")
        if NEVER.search(text):
            raise Refused("API_ERROR", "Aggregate Relationships not supported in Bulk Query")
        run = BulkRun(self.org, Grown(self.org), self._user["Id"], text, deleted=operation == "queryAll")
        shown = {"operation": operation, "object": run.source}
        job = self._new_job(request, "query", "UploadComplete", shown)
        job.content = run
        return Answer(200, job.shown)

    @route("GET", f"{DATA}/jobs/query/{{job_id}}")
    def look_at_query(self, request: Request, job_id: str, **_: str) -> Answer:
        job = self._job(request, job_id, "query")
        if self._look(job) and not self._fail(job, request):
            job.state = "JobComplete"
            job.shown |= {"numberRecordsProcessed": job.content.total, "retries": 0, "totalProcessingTime": 1_000}
        return Answer(200, {**job.shown, "jobType": "V2Query"})

    @route("PATCH", f"{DATA}/jobs/query/{{job_id}}")
    def abort_query(self, request: Request, job_id: str, **_: str) -> Answer:
        return self._aborted(request, self._job(request, job_id, "query"))

    @route("DELETE", f"{DATA}/jobs/query/{{job_id}}")
    def delete_query(self, request: Request, job_id: str, **_: str) -> Answer:
        return self._deleted(self._job(request, job_id, "query"))

    @route("GET", f"{DATA}/jobs/query/{{job_id}}/results")
    def query_results(self, request: Request, job_id: str, version: str) -> Answer:
        job = self._job(request, job_id, "query")
        if version != job.version:
            raise Refused("API_ERROR", f"The job was made with {job.version}, not {version}", status=409)
        if job.state != "JobComplete":
            raise Refused("JOB_NOT_COMPLETE", f"Job is not complete: {job.state}", status=412)
        start = _place(request.arg("locator"))
        end = min(start + min(MOST_RECORDS, int(request.arg("maxRecords") or MOST_RECORDS)), job.content.total)
        headers = {
            **CSV,
            "Sforce-NumberOfRecords": str(end - start),
            "Sforce-Locator": _locator(end) if end < job.content.total else "null",
        }
        return Answer(200, self._body(request, job, start, end), headers)

    def _body(self, request: Request, job: Job, start: int, end: int) -> Iterator[bytes]:
        """`short_bulk` ends it in the middle, `nul_bytes` spoils texts, `empty_bulk` leaves the header of nothing out."""

        def draw(kind: str) -> bool:
            return self.faults.draw(request.method, request.path, kind) is not None

        if start == end and draw("empty_bulk"):
            return iter(())
        run: BulkRun = job.content
        rows = run.rows(start, start + (end - start) // 2 if draw("short_bulk") else end)
        if draw("nul_bytes"):
            rows = ([cell.replace("a", "a\0") for cell in row] for row in rows)
        return pieces(run.query.fields, rows)


def _locator(place: int) -> str:
    return base64.b64encode(str(place).encode()).decode()


def _place(locator: str) -> int:
    try:
        return int(base64.b64decode(locator, validate=True)) if locator else 0
    except ValueError as error:
        raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator") from error
