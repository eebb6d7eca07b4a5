"""What bulk jobs of both directions share: their address, their states, and how long to leave them alone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import requests

from integrations.providers.salesforce import soql
from integrations.providers.salesforce.schema import data_path, date_of

QUERY, INGEST = "query", "ingest"
OPEN, COMPLETE, FAILED, ABORTED = "Open", "JobComplete", "Failed", "Aborted"
ENDED = (COMPLETE, FAILED, ABORTED)
FIRST_WAIT, LONGEST_WAIT = 5.0, 60.0  # seconds between two looks: each of them counts as a request


def path(direction: str, job_id: str) -> str:
    """Made from the id: the `contentUrl` of a job comes in several forms."""
    soql.record_id(job_id)
    return data_path(f"/jobs/{direction}/{job_id}")


def age(response: requests.Response, body: Mapping[str, Any]) -> float:
    """Seconds since the job was created, by the service's own clock."""
    now, created = date_of(response), str(body.get("createdDate") or "")
    return (now - datetime.fromisoformat(created)).total_seconds() if now and created else 0.0


def wait(job_age: float) -> float:
    return min(LONGEST_WAIT, max(FIRST_WAIT, job_age / 4))
