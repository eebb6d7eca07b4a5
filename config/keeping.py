"""What keeps a site up when something of it is killed: whoever ended is started again, the embedded database among them.

`manage.py serve` looks after web, workers and listener. The database is looked after by each supervisor of workers, which also
runs where the parts are started one by one. With DATABASE_URL the database is somebody else's business.
"""

import logging
import time
from pathlib import Path

from django.conf import settings

from config import embedded_postgres
from config.processes import Processes
from sync.supervisor import STEADY_AFTER, pause_before_restart

log = logging.getLogger("dialbridge.keeping")


def database() -> None:
    """Raises RuntimeError with a sentence for the operator when it can't be started now, for instance on a full disk."""
    embedded_postgres.ensure_running(Path(settings.DATA_DIR))


class Keeper:
    """Starts processes again that ended. One that keeps ending gets longer and longer pauses, and is never given up."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._failures: dict[str, int] = {}
        self._started: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def look(self) -> None:
        for name in self._processes.dead():
            now = time.monotonic()
            if name not in self._due:
                self._due[name] = now + self._pause(name, now)
            elif now >= self._due[name]:
                self._start(name)

    def _pause(self, name: str, now: float) -> float:
        steady = now - self._started.get(name, -STEADY_AFTER) >= STEADY_AFTER
        self._failures[name] = 1 if steady else self._failures.get(name, 0) + 1
        pause = pause_before_restart(self._failures[name])
        log.error("The %s process ended. It is started again in %g s.", name, pause)
        return pause

    def _start(self, name: str) -> None:
        self._started[name] = time.monotonic()
        del self._due[name]
        try:
            self._processes.start_again(name)
        except OSError as error:
            log.error("The %s process can't be started: %s", name, error)
