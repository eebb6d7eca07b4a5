import signal
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.processes import Processes, StartError


class Command(BaseCommand):
    help = "Runs the web server, the workers and the change listener together, and stops them together."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
        parser.add_argument("--web-workers", type=int, default=2, help="web processes (2)")

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with Processes({}, Path(settings.DATA_DIR) / "logs") as processes:
                url = processes.start_web(options["port"], host=options["host"], workers=options["web_workers"])
                processes.start_worker()
                processes.start_listener()
                self.stdout.write(f"Serving at {url}; logs are in {processes.logs}. Ctrl-C stops everything.")
                self.stdout.flush()
                while not processes.dead():
                    time.sleep(1.0)
                name = processes.dead()[0]
                raise CommandError(f"The {name} process ended: {processes.last_words(name)}")
        except StartError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
