import os
import signal
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.keeping import Keeper
from config.processes import Processes, StartError
from integrations import row_security

LOOK_EVERY = 0.5  # seconds


class Command(BaseCommand):
    help = "Runs the web server, the workers and the change listener, starts again who ends, and stops them together."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
        parser.add_argument("--web-workers", type=int, default=2, help="web processes (2)")

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with Processes(self._role(), Path(settings.DATA_DIR) / "logs") as processes:
                url = processes.start_web(options["port"], host=options["host"], workers=options["web_workers"])
                processes.start_worker()
                processes.start_listener()
                self.stdout.write(f"Serving at {url}; logs are in {processes.logs}. Ctrl-C stops everything.")
                self.stdout.flush()
                keeper = Keeper(processes)
                while True:
                    keeper.look()
                    time.sleep(LOOK_EVERY)
        except StartError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")

    def _role(self) -> dict[str, str]:
        """A role that was asked for has to be there; without ours the web runs as before, and says so."""
        problem = row_security.problem(row_security.role()) if os.environ.get("DATABASE_ROLE", "-") else ""
        if problem and "DATABASE_ROLE" in os.environ:
            raise CommandError(problem)
        if problem:
            self.stderr.write(f"{problem} Until then it runs without.")
            return {"DATABASE_ROLE": ""}
        return {}
