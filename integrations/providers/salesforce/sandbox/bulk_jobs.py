"""Bulk jobs as the organisation keeps them: numbered, aged by the sandbox's clock, driven on by whoever looks at them.

A job is in progress at the first look, and ends at the next one, once its time has come (`slow_bulk` says when). Jobs live in
memory and are forgotten after seven days, or with the process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from integrations.providers.salesforce.ids import to_18
from integrations.providers.salesforce.sandbox.base import Counter, body_of
from integrations.providers.salesforce.sandbox.refused import Refused
from integrations.sandbox.clock import Clock
from integrations.sandbox.faults import Faults
from integrations.sandbox.http import Answer, Request
from integrations.sandbox.store import Store

KEPT_SECONDS = 7 * 86_400
LOOKS = 2
ENDED = ("JobComplete", "Failed", "Aborted")


@dataclass(slots=True)
class Job:
    id: str
    direction: str
    version: str
    shown: dict[str, Any]
    at: float
    ready_at: float
    content: Any = None
    """A query's rows, or what was uploaded and then what became of it."""
    looks: int = 0
    uploaded: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return str(self.shown["state"])

    @state.setter
    def state(self, state: str) -> None:
        self.shown["state"] = state


class BulkJobs(Counter):
    """The part that both directions share."""

    def __init__(self, store: Store, clock: Clock, faults: Faults) -> None:
        super().__init__(store, clock, faults)
        self._jobs: dict[str, Job] = {}
        self._jobs_made = 0

    def _new_job(self, request: Request, direction: str, state: str, shown: Mapping[str, Any]) -> Job:
        if self.faults.draw(request.method, request.path, "bulk_quota"):
            raise Refused("ExceededQuota", "ApiBatchItems Limit exceeded.")
        self._jobs_made += 1
        version = request.path.split("/")[3]
        slow = self.faults.draw(request.method, request.path, "slow_bulk")
        now = self.clock.timestamp()
        job = Job(
            id=to_18(f"750Hs{self._jobs_made:010d}"),
            direction=direction,
            version=version,
            shown={},
            at=now,
            ready_at=now + (slow.seconds if slow else 0.0),
            headers=request.headers,
        )
        job.shown = {
            "id": job.id,
            "createdById": self._user["Id"],
            "createdDate": self.org.now(),
            "systemModstamp": self.org.now(),
            "state": state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(version.removeprefix("v")),
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
            **shown,
        }
        self._jobs[job.id] = job
        return job

    def _job(self, request: Request, job_id: str, direction: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None or job.direction != direction or self.clock.timestamp() - job.at > KEPT_SECONDS:
            raise Refused("NOT_FOUND", "The requested resource does not exist", status=404)
        return job

    def _look(self, job: Job) -> bool:
        """Drives the job on; whether it ends now."""
        if job.state not in {"UploadComplete", "InProgress"}:
            return False
        job.looks += 1
        job.state = "InProgress"
        return job.looks >= LOOKS and self.clock.timestamp() >= job.ready_at

    def _fail(self, job: Job, request: Request) -> bool:
        """Whether the job fails as a whole; the reason may be left out."""
        fault = self.faults.draw(request.method, request.path, "bulk_fails")
        if fault is not None:
            job.state = "Failed"
            job.shown |= {"errorMessage": fault.body} if fault.body else {}
        return fault is not None

    def _aborted(self, request: Request, job: Job) -> Answer:
        if body_of(request).get("state") != "Aborted" or job.state in ENDED:
            raise Refused("InvalidJobState", f"Aborting an already completed job is not allowed: {job.state}")
        job.state = "Aborted"
        return Answer(200, job.shown)

    def _deleted(self, job: Job) -> Answer:
        if job.state not in {"UploadComplete", *ENDED}:
            raise Refused("InvalidJobState", f"A job that is {job.state} can't be deleted")
        del self._jobs[job.id]
        return Answer(204)
